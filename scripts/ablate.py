"""Trains variants of the model that differ in one thing, scores them alike, and writes one table.

    python scripts/ablate.py --dataset=synthbirds --steps=500 --seeds=0,1,2
    python scripts/ablate.py --dataset=synthbirds --steps=900 --seeds=0,1,2 --damsm=runs/damsm --out=runs/longer
    python scripts/ablate.py --dataset=folder --data_dir=PICTURES --variants=reference,adaptive --out=runs/few
    python scripts/ablate.py --steps=20 --pretraining_steps=20 --seeds=0 --variants=reference,no_mask --count=200

What is done is not done again: stopped, the same command goes on, and with more --seeds or --variants it adds them.
"""

import pathlib

from absl import app, flags

from ssagan_tf.config import PRESETS, preset
from ssagan_tf.core import cli
from ssagan_tf.data import DATASETS

_DATASET = flags.DEFINE_enum("dataset", "synthbirds", DATASETS, "What to train on.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the data set, raw or made by prepare_data.py.")
_DAMSM = flags.DEFINE_string(
    "damsm", None, "Encoders, made by pretrain_damsm.py, to start from. [default: OUT/damsm, pretrained first]"
)
_OUT = flags.DEFINE_string("out", "runs/ablation", "Folder of trainings, sheets and the table.")
_PRESET = flags.DEFINE_enum("preset", "small", list(PRESETS), "Settings of the reference.")
_STEPS = flags.DEFINE_integer("steps", None, "Iterations of each training. [default: the preset's]", lower_bound=1)
_PRETRAINING_STEPS = flags.DEFINE_integer(
    "pretraining_steps", None, "Iterations for OUT/damsm. [default: as pretrain_damsm.py]", lower_bound=1
)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", None, "Height and width. [default: the preset's]", lower_bound=8)
_FILTERS = flags.DEFINE_integer("base_filters", None, "Base width of both networks.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", None, "Pictures of an iteration.", lower_bound=1)
_EXTRACTOR = flags.DEFINE_string(
    "extractor", None, "What kernel distances are measured with: as evaluate.py. Drawn birds have their own."
)
_FROM = flags.DEFINE_string("from", "synthbirds_64", "Model that fine_tuned goes on from, as train.py.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Each trains every variant once.")
_VARIANTS = flags.DEFINE_list(
    "variants",
    ["reference", "no_mask", "frozen_text", "end_to_end_text"],
    "Of reference, no_mask, first_3_masks, frozen_text, end_to_end_text, no_penalty, no_mismatched, fixed, adaptive, "
    "fine_tuned.",
)
_COUNT = flags.DEFINE_integer("count", 2000, "Pictures of each training to score.", lower_bound=100)


def main(_) -> None:
    try:
        seeds = [int(seed) for seed in _SEEDS.value]
    except ValueError as error:
        raise app.UsageError(
            f"--seeds are whole numbers. Received: {','.join(_SEEDS.value)}. Use --seeds=0,1,2."
        ) from error
    cli.start_tensorflow()
    from ssagan_tf.experiments import ablation
    from ssagan_tf.training import damsm_run

    config = preset(_PRESET.value, _DATASET.value).override(
        damsm=_DAMSM.value,
        steps=_STEPS.value,
        data_dir=_DATA_DIR.value,
        image_size=_IMAGE_SIZE.value,
        base_filters=_FILTERS.value,
        batch_size=_BATCH.value,
    )
    # Sheets during trainings that nobody watches take time; each ends with one.
    config = damsm_run.alone(config).override(
        sample_every=config.train.steps, pretraining_steps=_PRETRAINING_STEPS.value
    )
    try:
        table = ablation.ablate(
            config, pathlib.Path(_OUT.value), _VARIANTS.value, seeds, _COUNT.value, _EXTRACTOR.value, _FROM.value
        )
    except ablation.Interrupted as interrupted:
        cli.say("Stopped, and saved. The same command goes on.")
        raise SystemExit(128 + interrupted.signal) from None
    cli.say(table)
    cli.say(f"Written: {_OUT.value}/table.md, and a sheet of pictures for each variant beside it.")


if __name__ == "__main__":
    cli.run(main)
