r"""Writes a trained model as a folder to hand out: weights, SavedModel, TFLite files and a model card.

    python scripts/train.py --dataset=synthbirds --preset=small --out=runs/birds
    python scripts/evaluate.py --model=runs/birds --metrics=semantics,fid --count=2000 --out=runs/birds/scores
    python scripts/bundle.py --model=runs/birds --scores=runs/birds/scores --out=saved_models/my-birds \
        --command="python scripts/train.py --dataset=synthbirds --preset=small --out=runs/birds" \
        --commit=$(git rev-parse HEAD)

The card quotes the scores, and refuses those of other weights. The folder works as --model of every other script.
"""

import pathlib

from absl import flags

from ssagan_tf.core import cli
from ssagan_tf.data.synthbirds import FIXED_CAPTIONS

_MODEL = cli.path_flag("model", None, "Run folder made by train.py.", ("hf", "kaggle"), required=True)
_SCORES = cli.path_flag("scores", None, "Folder that evaluate.py wrote for it.", required=True)
_OUT = cli.path_flag("out", None, "Folder to write; its name is the model's name.", required=True)
_COMMANDS = flags.DEFINE_multi_string("command", None, "Command that made it; several in their order.", required=True)
_COMMIT = flags.DEFINE_string("commit", None, "Commit of the code that made it.", required=True)
_CAPTIONS = flags.DEFINE_multi_string("caption", FIXED_CAPTIONS, "What the card's sheet shows. [default: eight birds]")
_CHECKPOINT = cli.checkpoint_flag()


def main(_) -> None:
    cli.start_tensorflow()
    from ssagan_tf.export.bundle import bundle
    from ssagan_tf.training.run import Run

    folders = Run(_MODEL.value), pathlib.Path(_OUT.value), pathlib.Path(_SCORES.value)
    cli.say(f"Wrote {bundle(*folders, _COMMANDS.value, _COMMIT.value, _CAPTIONS.value, _CHECKPOINT.value)}")


if __name__ == "__main__":
    cli.run(main)
