"""Makes a model's pages of the gallery: sheets of captions and seeds, of swapped words, of masks, and of iterations.

    python scripts/gallery.py --model=synthbirds_64 --captions_file=docs/gallery/synthbirds-64.txt \\
        --swap="a bird with a red crown and a yellow belly" --words=red,blue,green,white --out=docs/images/synthbirds-64
    python scripts/gallery.py --model=runs/cub-64 --captions_file=docs/gallery/cub-64.txt \\
        --stage="1,000 iterations=milestones/1000" --stage="5,000 iterations=milestones/5000" --out=gallery

Writes OUT/captions.png, a row for each caption and a column for each seed from --seed on; OUT/masks.png, where the text
acts in the first picture of each caption; with --swap OUT/swapped.png, in which the first of --words that the caption
has is replaced by each; with --stage OUT/stages.png, the same captions and seed by several models. Nothing is picked:
the captions are the file's, the seeds those that follow each other.
"""

from absl import app, flags

from ssagan_tf.core import cli, files
from ssagan_tf.data.reading import asked_captions

_MODEL = cli.path_flag("model", None, "Run folder, model folder or name.", ("hf", "kaggle"), required=True)
_CAPTIONS = cli.path_flag("captions_file", None, "Text file with the captions, one a line.", required=True)
_OUT = cli.path_flag("out", None, "Folder for the sheets.", required=True)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the first picture of each caption; the next have seed + 1, ...")
_COUNT = flags.DEFINE_integer("count", 6, "Pictures of each caption.", lower_bound=1, upper_bound=100)
_SWAP = flags.DEFINE_string("swap", None, "Caption in which a word is swapped.")
_WORDS = flags.DEFINE_list("words", [], "Words to swap, with commas; one of them is in the caption.")
_STAGES = flags.DEFINE_multi_string("stage", [], "TITLE=MODEL: another model for the same captions and seed; repeat.")


def main(_) -> None:
    if bool(_SWAP.value) != bool(_WORDS.value):
        raise app.UsageError("A swap needs a caption and words. Received: one of --swap, --words. Give both or none.")
    if wrong := [stage for stage in _STAGES.value if "=" not in stage]:
        raise app.UsageError(f"A stage has a title and a model. Received: {wrong[0]!r}. Give --stage='TITLE=MODEL'.")
    captions = asked_captions([], _CAPTIONS.value)
    swapped = _swaps(_SWAP.value, _WORDS.value) if _SWAP.value else []
    # TensorFlow takes seconds to start: not before the flags are known to be right.
    cli.start_tensorflow()
    from ssagan_tf import sampling
    from ssagan_tf.training.run import load_model

    model, out = load_model(_MODEL.value), _OUT.value
    written = sampling.write_sheet(model, captions, _SEED.value, _COUNT.value, f"{out}/captions.png")
    written += sampling.write_sheet(model, captions, _SEED.value, 1, f"{out}/masks.png", masks=True)
    if swapped:
        written += sampling.write_sheet(model, swapped, _SEED.value, _COUNT.value, f"{out}/swapped.png")
    if _STAGES.value:
        stages = dict(stage.split("=", 1) for stage in _STAGES.value)
        models = {title: load_model(files.user_path(folder)) for title, folder in stages.items()}
        written += sampling.write_stages(models, captions, _SEED.value, f"{out}/stages.png")
    cli.say("Wrote " + ", ".join(map(str, written)))


def _swaps(caption: str, swapped: list[str]) -> list[str]:
    """The caption with each of the words in the place of the one that it has."""
    words = caption.split()
    places = [place for place, word in enumerate(words) if word in swapped]
    if not places:
        raise app.UsageError(
            f"There is nothing to swap. Received: {caption!r} without any of {', '.join(swapped)}. "
            "Name a word of the caption in --words."
        )
    return [" ".join([*words[: places[0]], word, *words[places[0] + 1 :]]) for word in swapped]


if __name__ == "__main__":
    cli.run(main)
