"""Converts weights of the published PyTorch code into a model folder, and back.

    python scripts/convert_weights.py --generator=netG_550.pth --text_encoder=text_encoder200.pth \\
        --captions_pickle=captions.pickle --out=models/birds
    python scripts/convert_weights.py --generator=netG_550.pth --discriminator=netD_550.pth \\
        --text_encoder=text_encoder200.pth --image_encoder=image_encoder200.pth \\
        --captions_pickle=captions.pickle --out=models/birds                        # also to go on with training
    python scripts/convert_weights.py --text_encoder=text_encoder200.pth --image_encoder=image_encoder200.pth \\
        --captions_pickle=captions.pickle --out=models/damsm         # both encoders alone, for --damsm
    python scripts/convert_weights.py --to_published --model=models/birds --out=checkpoints

Image size, widths and vocabulary size are found from the tensors. A .pth file is read without PyTorch, and nothing in
it is run: one that holds anything other than tensors is refused. What was written is read back and compared.
Writing .pth needs PyTorch (pip install -e '.[torch]'); --format=safetensors does not.
"""

from absl import app, flags

from ssagan_tf.core import cli
from ssagan_tf.data import DATASETS

_FORMATS = ("pth", "safetensors")
_NEEDED = ("text_encoder", "captions_pickle")

_PARTS = {
    "generator": cli.path_flag("generator", None, "The generator's checkpoint, netG_*.pth."),
    "discriminator": cli.path_flag("discriminator", None, "The discriminator's, to go on with training."),
    "text_encoder": cli.path_flag("text_encoder", None, "The text encoder's that the generator learned with."),
    "image_encoder": cli.path_flag(
        "image_encoder", None, "The image encoder's, to go on with training; without --generator for --damsm."
    ),
}
_CAPTIONS = cli.path_flag("captions_pickle", None, "captions.pickle that the text encoder was trained with.")
_DATASET = flags.DEFINE_enum("dataset", "cub", DATASETS, "What the weights were trained on, for going on with it.")
_TO_PUBLISHED = flags.DEFINE_bool("to_published", False, "From --model to checkpoints in the folder --out.")
_MODEL = cli.path_flag("model", None, "With --to_published: model folder, or run folder.")
_FORMAT = flags.DEFINE_enum("format", "pth", _FORMATS, "With --to_published: of the checkpoints.")
_OUT = cli.path_flag("out", None, "Folder to write, which must not exist yet.", required=True)


def main(_) -> None:
    parts = {part: flag.value for part, flag in _PARTS.items() if flag.value is not None}
    _check_flags(parts)
    # TensorFlow takes seconds to start: not before the flags are known to be right.
    cli.start_tensorflow()
    from ssagan_tf.convert import checkpoints

    if _TO_PUBLISHED.value:
        rows = checkpoints.to_published(str(_MODEL.value), _OUT.value, _FORMAT.value)
    else:
        convert = checkpoints.to_model_folder if "generator" in parts else checkpoints.to_damsm_folder
        rows = convert(_OUT.value, str(_CAPTIONS.value), parts, _DATASET.value)
    cli.say(checkpoints.table(rows))
    cli.say(f"Wrote {_OUT.value}")


def _check_flags(checkpoints: dict[str, str]) -> None:
    """Either direction has flags of its own."""
    there = {**checkpoints, "captions_pickle": _CAPTIONS.value}
    given = {name for name, value in {**there, "model": _MODEL.value}.items() if value is not None}
    back = _TO_PUBLISHED.value
    # Both encoders alone are something, a discriminator without a generator is not.
    encoders = "image_encoder" in given and "discriminator" not in given
    needed = ("model",) if back else _NEEDED if encoders else ("generator", *_NEEDED)
    missing = [name for name in needed if name not in given]
    if missing:
        shown = ", ".join(f"--{name}" for name in sorted(given)) or "none"
        raise app.UsageError(
            f"Missing: {' and '.join(f'--{name}' for name in missing)}. Received: {shown}. Give what is missing, too."
        )
    wrong = sorted(given - {"model"} if back else given & {"model"})
    if wrong:
        raise app.UsageError(
            f"--{wrong[0]} does not go {'with' if back else 'without'} --to_published. Received: --{wrong[0]}. "
            "Leave it out: either direction has flags of its own."
        )


if __name__ == "__main__":
    cli.run(main)
