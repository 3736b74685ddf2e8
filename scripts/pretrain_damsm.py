"""Pretrains the text and image encoders by DAMSM, before a GAN training takes them.

    python scripts/pretrain_damsm.py --dataset=synthbirds --preset=small --out=runs/damsm      # minutes on a CPU
    python scripts/train.py --dataset=synthbirds --preset=small --damsm=runs/damsm             # then this
    python scripts/pretrain_damsm.py --dataset=cub --data_dir=CUB --preset=paper --out=runs/damsm-cub    # a GPU
    python scripts/pretrain_damsm.py --dataset=cub --data_dir=CUB --preset=small --steps=3000 --out=runs/mine
    python scripts/pretrain_damsm.py --out=runs/mine --resume                                  # go on

After each epoch held-out pictures look for their captions, each among 99 others. The best weights so far are in the run
folder --out, beside sheets that show where words look. See docs/damsm.md.
"""

from absl import flags

from ssagan_tf.core import cli
from ssagan_tf.training.flags import SettingFlags

_OUT = cli.path_flag("out", None, "Run folder. [default: runs/damsm-DATASET-TIME]")
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --out where it ended.")
SETTINGS = SettingFlags(
    *("dataset", "data_dir", "image_size", "image_encoder", "pretraining_steps", "pretraining_batch_size"),
    *("checkpoint_every", "seed", "max_minutes"),
    pretraining=True,
    pretraining_steps="steps",
    pretraining_batch_size="batch_size",
)


def main(_) -> None:
    given = SETTINGS.given()
    # TensorFlow takes seconds to start: not before the flags are known to be right.
    cli.start_tensorflow()
    from ssagan_tf.training.pretraining import pretrain

    run, config = pretrain.resolve(_OUT.value, _RESUME.value, SETTINGS.preset, **given)
    outcome = pretrain.pretrain(run, config)
    cli.say(pretrain.summary(outcome, config))
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)


if __name__ == "__main__":
    cli.run(main)
