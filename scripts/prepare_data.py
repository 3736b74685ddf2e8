"""Prepares a captioned data set for training, or checks one.

Resizes every picture once and writes it with its captions into TFRecord shards, beside a vocabulary and a
dataset.json with counts and checksums. A run that was interrupted goes on where it stopped. `--check` writes nothing
and reports what the data set holds and what is wrong with it; its exit status is 1 if anything is.

    python scripts/prepare_data.py --dataset=cub --source=data/birds --out=data/birds_256 --image_size=256
    python scripts/prepare_data.py --dataset=coco --source=data/coco --out=data/coco_256
    python scripts/prepare_data.py --dataset=folder --source=my_pictures --out=my_pictures_64 --image_size=64
    python scripts/prepare_data.py --dataset=synthbirds --out=data/synthbirds_64 --image_size=64 --count=5000
    python scripts/prepare_data.py --dataset=cub --source=data/birds --check
    python scripts/prepare_data.py --source=data/birds_256 --check
"""

import shlex

from absl import app, flags

from ssagan_tf.core import calling, cli
from ssagan_tf.data import DATASETS, check, open_source, records
from ssagan_tf.data.source import SPLITS

_DATASET = flags.DEFINE_enum("dataset", None, DATASETS, "The kind of data set; not needed to check a prepared folder.")
_SOURCE = cli.path_flag("source", None, "Its folder, see docs/data.md; not needed for synthbirds.")
_OUT = cli.path_flag("out", None, "The prepared folder: new, empty, or begun by an earlier run.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 256, "Pixels, of the pictures to be trained on.", 8, 1024)
_SHORT_SIDE = flags.DEFINE_integer(
    "short_side",
    None,
    "Pixels, of the stored pictures: room for random crops. For pictures that are cut tightly around what they show "
    "little more than --image_size. [default: image_size * 76 / 64]",
    8,
    4096,
)
_CHECK = flags.DEFINE_bool("check", False, "Report what the data set holds and what is wrong with it; write nothing.")
_SKIP_BROKEN = flags.DEFINE_bool(
    "skip_broken",
    False,
    "Leave out, and name, what is broken: pictures that are missing or cannot be read, or have no caption.",
)
_TOKENIZER = flags.DEFINE_enum(
    "tokenizer",
    None,
    ("published", "unicode"),
    "How captions become words: published keeps ASCII letters, unicode those of all scripts [default: unicode for "
    "folder, published for other data sets].",
)
_SEED = flags.DEFINE_integer("seed", 0, "synthbirds: another seed, other birds.")
_COUNT = flags.DEFINE_integer("count", 20_000, "synthbirds: birds to train on; a tenth as many to test with.", 1)
flags.register_validator("image_size", lambda size: size & (size - 1) == 0, "must be a power of two")


def main(_) -> int:
    return _check() if _CHECK.value else _prepare()


def _open():
    if not _DATASET.value:
        raise app.UsageError(
            f"There is no kind of data set. Received: no --dataset. Give one of {', '.join(DATASETS)}."
        )
    if _DATASET.value == "synthbirds":
        if _SOURCE.value:
            raise app.UsageError(
                f"synthbirds are drawn, not read. Received: --source={_SOURCE.value}. Leave it out, or give another "
                "--dataset."
            )
        count = {"train": _COUNT.value, "test": max(1, _COUNT.value // 10)}
        return open_source("synthbirds", None, _IMAGE_SIZE.value, seed=_SEED.value, count=count)
    ignored = [f"--{flag.name}={flag.value}" for flag in (_SEED, _COUNT) if flag.present]
    if ignored:
        raise app.UsageError(
            f"--seed and --count are for synthbirds, which are drawn. Received: {' '.join(ignored)} with "
            f"--dataset={_DATASET.value}. Leave them out."
        )
    if not _SOURCE.value:
        raise app.UsageError(
            f"There is nothing to read. Received: no --source. Give the folder of {_DATASET.value} as --source=FOLDER."
        )
    options = {"tokenizer": _TOKENIZER.value} if _TOKENIZER.value else {}
    lenient = _CHECK.value or _SKIP_BROKEN.value
    return open_source(_DATASET.value, _SOURCE.value, _IMAGE_SIZE.value, skip_broken=lenient, **options)


def _check() -> int:
    if _SOURCE.value and records.is_prepared(_SOURCE.value):
        cli.start_tensorflow()
        report = check.check_prepared(_SOURCE.value, progress=True)
    else:
        source = _open()
        cli.start_tensorflow()
        report = check.check_source(source, progress=True)
    cli.say(report.text())
    return 1 if report.problems else 0


def _prepare() -> int:
    if not _OUT.value:
        raise app.UsageError(
            "There is nowhere to write. Received: no --out. Give a new folder as --out=FOLDER, or --check to write "
            "nothing."
        )
    source = _open()
    cli.start_tensorflow()
    prepared, written = records.prepare(
        source, _OUT.value, _IMAGE_SIZE.value, _SKIP_BROKEN.value, progress=True, short_side=_SHORT_SIDE.value
    )
    for note in source.findings.notes:
        cli.say(note)
    counts = ", ".join(
        f"{prepared.examples(split):,} {split} pictures with {prepared.captions(split):,} captions" for split in SPLITS
    )
    megabytes = sum(shard.bytes for shard in prepared.shards) / 1e6
    cli.say(f"{prepared.folder}: {counts}, {len(prepared.shards)} shards, {megabytes:.1f} MB.")
    if prepared.left_out():
        cli.say(f"Left out as broken: {len(prepared.left_out()):,}, listed in {records.FINISHED}.")
    cli.say(
        f"Written: {len(written)} shards." if written else "It was finished already and is whole: nothing was written."
    )
    folder = shlex.quote(str(prepared.folder))
    flags = f"--dataset={prepared.name} --data_dir={folder} --image_size={prepared.image_size}"
    cli.say(f"Next: {calling.command_of('train')} {flags}")
    return 0


if __name__ == "__main__":
    cli.run(main)
