"""Trains variants of the model that differ in one thing, scores them alike, and writes one table.

    python scripts/ablate.py --dataset=synthbirds --steps=500 --seeds=0,1,2
    python scripts/ablate.py --dataset=synthbirds --steps=900 --seeds=0,1,2 --damsm=runs/damsm --out=runs/longer
    python scripts/ablate.py --dataset=folder --data_dir=PICTURES --variants=reference,adaptive --out=runs/few
    python scripts/ablate.py --steps=20 --pretraining_steps=20 --seeds=0 --variants=reference,no_mask --count=200

What is done is not done again: stopped, the same command goes on, and with more --seeds or --variants it adds them.
"""

import pathlib

from absl import flags

from ssagan_tf.config import preset
from ssagan_tf.core import cli
from ssagan_tf.experiments import VARIANTS
from ssagan_tf.training.flags import SettingFlags

_OUT = cli.path_flag("out", "runs/ablation", "Folder of trainings, sheets and the table.")
SETTINGS = SettingFlags(
    *("dataset", "data_dir", "image_size", "base_filters", "steps", "batch_size", "damsm", "pretraining_steps"),
    preset="small",
    dataset="synthbirds",
    pretraining=True,
)
_EXTRACTOR = cli.path_flag(
    "extractor",
    None,
    "What kernel distances are measured with: as evaluate.py. Rendered birds have their own.",
    ("https",),
)
_FROM = cli.path_flag("from", "synthbirds_64", "Model that fine_tuned goes on from, as train.py.", ("hf", "kaggle"))
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Each trains every variant once.")
_VARIANTS = cli.names_flag(
    "variants", ["reference", "no_mask", "frozen_text", "end_to_end_text"], tuple(VARIANTS), "What is trained."
)
flags.register_validator(
    "seeds", lambda seeds: seeds and all(map(str.isdecimal, seeds)), "takes whole numbers: --seeds=0,1,2"
)
_COUNT = flags.DEFINE_integer("count", 2000, "Pictures of each training to score.", lower_bound=100)


def main(_) -> None:
    seeds = [int(seed) for seed in _SEEDS.value]
    cli.start_tensorflow()
    from ssagan_tf.experiments import ablation

    given = SETTINGS.given()
    config = preset(SETTINGS.preset or "small", given["dataset"], pretraining=True).override(**given)
    if "sample_every" not in given:
        # Sheets during trainings that nobody watches take time; each ends with one.
        config = config.override(sample_every=config.train.steps)
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
