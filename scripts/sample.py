"""Generates pictures of captions with a trained model.

    python scripts/sample.py --caption="a small bird with a red crown and a yellow belly"
    python scripts/sample.py --model=runs/mine --caption="a bird with a red crown and a yellow belly" --out=sheet.png
    python scripts/sample.py --model=runs/mine --caption="a red bird" --caption="a blue bird" --count=6 --seed=7
    python scripts/sample.py --model=runs/mine --captions_file=captions.txt --masks
    python scripts/sample.py --model=runs/mine --caption="a red bird" --caption="a blue bird" --interpolate
    python scripts/sample.py --model=runs/mine --caption="a red bird" --seed=1 --to_seed=2 --interpolate

The model is a run folder made by train.py or a model folder; without --model, the small one of rendered birds that
comes with the package. The same caption and seed give the same picture.
A model folder that holds TFLite files of its weights is sampled by LiteRT, which starts in a fraction of TensorFlow's
time and gives the same pictures, to within 1 of 255 levels.
--interpolate goes from the first caption to the second, or from one seed to the other, and writes a strip as PNG and,
beside it, a film as GIF.
"""

import pathlib

from absl import app, flags

from ssagan_tf import sampling
from ssagan_tf.core import cli
from ssagan_tf.core.files import BUNDLED_MODEL
from ssagan_tf.data.reading import asked_captions
from ssagan_tf.errors import UserError
from ssagan_tf.on_device import OnDeviceError

_MODEL = cli.path_flag("model", str(BUNDLED_MODEL), "Run folder or model folder. [default: bundled]", ("hf", "kaggle"))
_CAPTIONS = flags.DEFINE_multi_string("caption", [], "What to draw; may be given several times.")
_FILE = cli.path_flag("captions_file", None, "Text file with more captions, one a line.")
_OUT = cli.path_flag("out", "sheet.png", "PNG file to write.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the first picture of each caption; the next have seed + 1, ...")
_COUNT = flags.DEFINE_integer("count", 4, "Pictures of each caption.", lower_bound=1, upper_bound=100)
_TRUNCATION = flags.DEFINE_float(
    "truncation", None, "Factor on the noise: below 1, more usual pictures.", lower_bound=0
)
_MASKS = flags.DEFINE_bool("masks", False, "Also show the masks: where the text acts, at each size.")
_CHECKPOINT = cli.checkpoint_flag()
_INTERPOLATE = flags.DEFINE_bool("interpolate", False, "Between two captions, or from --seed to --to_seed.")
_TO_SEED = flags.DEFINE_integer("to_seed", None, "Seed at the end of an interpolation.")
_FRAMES = flags.DEFINE_integer("frames", 9, "Pictures of an interpolation.", lower_bound=2, upper_bound=200)
_TRUST = cli.trust_flag()
flags.register_validator("out", lambda out: out.lower().endswith(".png"), "must end in .png")


def main(_) -> None:
    _refuse_flags_without_effect()
    captions = asked_captions(_CAPTIONS.value, _FILE.value)
    _refuse_other_ends(captions)
    try:
        written = _write(_model(), captions)
    except OnDeviceError as error:
        raise UserError(str(error)) from error
    cli.say("Wrote " + " and ".join(map(str, written)))


def _model():
    """By LiteRT where the model folder allows it; or else by TensorFlow, which takes seconds to start."""
    with cli.stderr_held_back():  # LiteRT tells what it is made of
        light = sampling.light_model(_MODEL.value)
    if light is not None:
        return light
    cli.start_tensorflow()
    from ssagan_tf.training.run import load_model

    return load_model(_MODEL.value, _CHECKPOINT.value, trust=_TRUST.value)


def _write(model, captions: list[str]) -> list[pathlib.Path]:
    if _INTERPOLATE.value:
        ends = captions[:2], (_SEED.value, _SEED.value if _TO_SEED.value is None else _TO_SEED.value)
        return sampling.write_interpolation(model, *ends, _FRAMES.value, _OUT.value, _TRUNCATION.value)
    return sampling.write_sheet(
        model, captions, _SEED.value, _COUNT.value, _OUT.value, _TRUNCATION.value, masks=_MASKS.value
    )


def _refuse_other_ends(captions: list[str]) -> None:
    if not _INTERPOLATE.value:
        return
    if len(captions) > 2:
        raise UserError(f"An interpolation has two ends. Received: {len(captions)} captions. Give one or two.")
    if len(captions) == 1 and _TO_SEED.value is None:
        raise UserError("An interpolation has two ends. Received: one caption. Give a second, or --to_seed.")


def _refuse_flags_without_effect() -> None:
    if _INTERPOLATE.value and _MASKS.value:
        raise app.UsageError("--masks has no effect with --interpolate. Received: both. Leave one of them out.")
    if _TO_SEED.value is not None and not _INTERPOLATE.value:
        raise app.UsageError(
            f"--to_seed is the end of an interpolation. Received: --to_seed={_TO_SEED.value} alone. "
            "Add --interpolate, or leave it out."
        )


if __name__ == "__main__":
    cli.run(main)
