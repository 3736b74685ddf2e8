"""Trains SSA-GAN on captioned pictures, or resumes a training.

    python scripts/train.py --dataset=synthbirds --preset=small        # rendered birds, minutes on a CPU
    python scripts/train.py --dataset=cub --data_dir=CUB               # birds at 256 pixels as published, for a GPU
    python scripts/train.py --dataset=cub --data_dir=CUB --preset=small --steps=4000        # the same, on a CPU
    python scripts/train.py --dataset=folder --data_dir=PICTURES --preset=small --out=runs/mine
    python scripts/train.py --dataset=cub --data_dir=CUB --damsm=runs/damsm     # encoders made by pretrain_damsm.py
    python scripts/train.py --dataset=folder --data_dir=PICTURES --from=synthbirds_64       # go on from another model
    python scripts/train.py --out=runs/mine --resume --steps=20000                          # go on

Text and image encoder are pretrained first, unless --damsm has them. Everything goes into the run folder --out:
configuration, losses, sample sheets, checkpoints.
"""

from absl import app, flags

from ssagan_tf.core import cli
from ssagan_tf.training.flags import WITH_FLAG, SettingFlags

_OUT = cli.path_flag("out", None, "Run folder. [default: runs/DATASET-TIME]")
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --out from its newest checkpoint.")
SETTINGS = SettingFlags(*WITH_FLAG)


def main(_) -> None:
    given = SETTINGS.given()
    for name in ("pretraining_steps", "word_vectors"):
        if "damsm" in given and name in given:
            raise app.UsageError(f"--{name} has no effect with --damsm. Received: both. Leave one of them out.")
    # TensorFlow takes seconds to start: not before the flags are known to be right.
    cli.start_tensorflow()
    from ssagan_tf.training import resume, train

    run, config = resume.resolve(_OUT.value, _RESUME.value, SETTINGS.preset, **given)
    outcome = train.train(run, config)
    cli.say(train.summary(outcome, config))
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)


if __name__ == "__main__":
    cli.run(main)
