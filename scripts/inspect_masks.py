"""Shows a model's masks, what they find when a word changes, and what the picture becomes with other masks.

    python scripts/inspect_masks.py --caption="a bird with a red crown and a yellow belly"
    python scripts/inspect_masks.py --model=runs/mine --caption="a bird with a red crown" --count=4 --swap=red:blue
    python scripts/inspect_masks.py --model=runs/mine --caption="a bird with a red crown" --ablate=4,8 --ones=all
    python scripts/inspect_masks.py --model=runs/mine --caption="a red bird" --caption="a blue bird" --freeze=all
    python scripts/inspect_masks.py --model=runs/mine --caption="a red bird" --paint=left_half.png --out=painted.png

Writes all masks over the pictures as --out, a PNG, and as a film from the coarsest to the finest beside it (.gif);
with interventions, OUT-interventions.png: as drawn, with other masks, difference; with swaps, OUT-swaps.png: before
and after the word, the difference and the masks. STAGES are sizes of masks with commas, or "all"; each flag may be
given several times. See docs/masks.md.
"""

from absl import app, flags

from ssagan_tf.core import cli, files
from ssagan_tf.core.files import BUNDLED_MODEL

_MODEL = cli.path_flag("model", str(BUNDLED_MODEL), "Run folder or model folder. [default: bundled]", ("hf", "kaggle"))
_CAPTIONS = flags.DEFINE_multi_string("caption", None, "What to draw; may be given several times.", required=True)
_OUT = cli.path_flag("out", "masks.png", "PNG file to write; the other names are made from it.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the first picture of each caption; the next have seed + 1, ...")
_COUNT = flags.DEFINE_integer("count", 1, "Pictures of each caption.", lower_bound=1, upper_bound=20)
_TRUNCATION = flags.DEFINE_float("truncation", None, "Factor on the noise.", lower_bound=0)
_ABLATE = flags.DEFINE_multi_string("ablate", [], "STAGES whose mask becomes 0: the text does not act there.")
_ONES = flags.DEFINE_multi_string("ones", [], "STAGES whose mask becomes 1: the text acts everywhere.")
_FREEZE = flags.DEFINE_multi_string("freeze", [], "STAGES that take the mask of the next --caption, same seed.")
_PAINT = flags.DEFINE_multi_string("paint", [], "Picture that becomes the mask of all stages: white is 1, black is 0.")
_SWAPS = flags.DEFINE_multi_string("swap", [], 'Words "old:new": the caption with the new one, same seed.')
_CHECKPOINT = cli.checkpoint_flag()
_TRUST = cli.trust_flag()
flags.register_validator("out", lambda out: out.lower().endswith(".png"), "must end in .png")


def main(_) -> None:
    swaps = [(old, new) for old, _, new in (swap.partition(":") for swap in _SWAPS.value)]
    if any(not old or not new or ":" in new for old, new in swaps):
        raise app.UsageError(f"--swap is OLD:NEW. Received: {' '.join(_SWAPS.value)}. Use --swap=red:blue.")
    # TensorFlow takes seconds to start: not before the flags are known to be right.
    cli.start_tensorflow()
    from ssagan_tf.evaluation.masks.interventions import ALL, Intervention, write_inspection
    from ssagan_tf.training.run import load_model

    asked = {"ablate": _ABLATE, "ones": _ONES, "freeze": _FREEZE}
    interventions = [Intervention(kind, stages) for kind, flag in asked.items() for stages in flag.value]
    interventions += [Intervention("paint", ALL, files.user_path(path)) for path in _PAINT.value]
    written = write_inspection(
        load_model(_MODEL.value, _CHECKPOINT.value, trust=_TRUST.value),
        _CAPTIONS.value,
        _SEED.value,
        _COUNT.value,
        _OUT.value,
        _TRUNCATION.value,
        interventions,
        swaps,
    )
    cli.say("Wrote " + ", ".join(map(str, written)))


if __name__ == "__main__":
    cli.run(main)
