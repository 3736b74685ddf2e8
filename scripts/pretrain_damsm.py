"""Pretrains text and image encoder by DAMSM: which captions fit which pictures. A GAN's training begins with them.

    python scripts/pretrain_damsm.py --dataset=synthbirds --preset=small --out=runs/damsm      # minutes on a CPU
    python scripts/train.py --dataset=synthbirds --preset=small --damsm=runs/damsm             # then this
    python scripts/pretrain_damsm.py --dataset=cub --data_dir=CUB --preset=published --out=runs/damsm-cub    # a GPU
    python scripts/pretrain_damsm.py --dataset=cub --data_dir=CUB --preset=small --steps=3000 --out=runs/mine
    python scripts/pretrain_damsm.py --dataset=cub --out=runs/mine --resume                    # go on

After each epoch held-out pictures look for their captions, each among 99 others. The best weights so far are in the run
folder --out, beside sheets that show where words look. See docs/damsm.md.
"""

from absl import flags

from ssagan_tf.config import PRESETS
from ssagan_tf.core import cli
from ssagan_tf.data import DATASETS

_DATASET = flags.DEFINE_enum("dataset", None, DATASETS, "What to train on.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the data set, raw or made by prepare_data.py.")
_OUT = flags.DEFINE_string("out", None, "Run folder. [default: runs/damsm-DATASET-TIME]")
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --out where it ended.")
_PRESET = flags.DEFINE_enum(
    "preset", None, list(PRESETS), "Settings to start from. [default: published with a GPU, small without]"
)
_ENCODER = flags.DEFINE_enum(
    "image_encoder",
    None,
    ["compact", "inception"],
    "compact: small, from scratch, for 64 and 128 pixels. inception: as published, with Keras's ImageNet weights, of "
    "which only two heads are trained. [default: the preset's]",
)
_STEPS = flags.DEFINE_integer("steps", None, "Iterations in all. [default: the preset's]", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", None, "Pictures of an iteration, over all devices.", lower_bound=1)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", None, "Height and width: 64, 128 or 256.", lower_bound=8)
_SEED = flags.DEFINE_integer("seed", None, "Of everything random.")
_CHECKPOINT_EVERY = flags.DEFINE_integer("checkpoint_every", None, "Iterations between checkpoints.", lower_bound=1)
_MINUTES = flags.DEFINE_float("max_minutes", None, "Stop, and save, after this time.", lower_bound=0)


def main(_) -> None:
    # TensorFlow takes seconds to start: not before the flags are known to be right.
    cli.start_tensorflow()
    from ssagan_tf.training import damsm_run

    run, config = damsm_run.resolve(
        _DATASET.value,
        _PRESET.value,
        _OUT.value,
        _RESUME.value,
        data_dir=_DATA_DIR.value,
        pretraining_steps=_STEPS.value,
        pretraining_batch_size=_BATCH.value,
        image_encoder=_ENCODER.value,
        image_size=_IMAGE_SIZE.value,
        seed=_SEED.value,
        checkpoint_every=_CHECKPOINT_EVERY.value,
        max_minutes=_MINUTES.value,
    )
    outcome = damsm_run.pretrain(run, config)
    cli.say(damsm_run.summary(outcome, config))
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)


if __name__ == "__main__":
    cli.run(main)
