"""Exports a trained model for a server, a phone, a web page and other runtimes.

    python scripts/export.py --model=runs/mine --out=saved_models/birds
    python scripts/export.py --model=runs/mine --out=saved_models/birds --format=saved_model,tflite \
        --captions_file=captions.txt
    python scripts/export.py --model=runs/mine --out=saved_models/birds --format=web

The model is a run folder made by train.py or a model folder. SavedModels are numbered, saved_models/birds/1,
saved_models/birds/2, ..., and written whole or not at all, so that a server that watches the folder never sees half a
model. Other formats lie beside them, saved_models/birds/tflite, ..., and replace what was there.
"""

import pathlib

from ssagan_tf.core import cli
from ssagan_tf.export import FORMATS

_MODEL = cli.path_flag("model", None, "Run folder or model folder.", ("hf", "kaggle"), required=True)
_OUT = cli.path_flag("out", None, "Folder to write into; its name is the model's name.", required=True)
_CHECKPOINT = cli.checkpoint_flag()
_FORMAT = cli.names_flag("format", ["saved_model"], tuple(FORMATS), "What is written.")
_CAPTIONS = cli.path_flag(
    "captions_file",
    None,
    "Text file with captions, one a line, like those that the model will be asked for: TFLite's file of 8 bits is "
    "calibrated on them. Without it, on random words, and its pictures are much worse.",
)
_TRUST = cli.trust_flag()


def main(_) -> None:
    # TensorFlow takes seconds to start: not before the flags are known to be right.
    cli.start_tensorflow()
    from ssagan_tf.data.reading import read_captions
    from ssagan_tf.export import export
    from ssagan_tf.training.run import load_model

    captions = read_captions(_CAPTIONS.value) if _CAPTIONS.value else ()
    model = load_model(_MODEL.value, _CHECKPOINT.value, trust=_TRUST.value)
    out = export(model, pathlib.Path(_OUT.value), _FORMAT.value, captions)
    cli.say(f"Wrote {', '.join(_FORMAT.value)} into {out}")


if __name__ == "__main__":
    cli.run(main)
