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

import sys

from absl import app, flags

from ssagan_tf.data import DATASETS, check, open_source, records
from ssagan_tf.data.source import SPLITS
from ssagan_tf.errors import UserError

_DATASET = flags.DEFINE_enum("dataset", None, DATASETS, "The kind of data set; not needed to check a prepared folder.")
_SOURCE = flags.DEFINE_string("source", None, "Its folder, see docs/data.md; not needed for synthbirds.")
_OUT = flags.DEFINE_string("out", None, "The prepared folder: new, empty, or begun by an earlier run.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 256, "Pixels, of the pictures to be trained on.", 8, 1024)
_CHECK = flags.DEFINE_bool("check", False, "Report what the data set holds and what is wrong with it; write nothing.")
_SKIP_BROKEN = flags.DEFINE_bool("skip_broken", False, "Leave out pictures that are missing or cannot be read.")
_SEED = flags.DEFINE_integer("seed", 0, "synthbirds: another seed, other birds.")
_COUNT = flags.DEFINE_integer("count", 20_000, "synthbirds: birds to train on; a tenth as many to test with.", 1)


def main(argv: list[str]) -> int:
    if argv[1:]:
        return _fail(f"Flags start with --. Received: {argv[1]}.", 2)
    try:
        return _check() if _CHECK.value else _prepare()
    except app.UsageError as error:
        return _fail(error, 2)
    except UserError as error:
        return _fail(error, 1)


def _fail(error: object, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


def _parse_flags(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(_fail(f"{error}. See --help.", 2))


def _open():
    if not _DATASET.value:
        raise app.UsageError(f"Give the kind of data set as --dataset, one of {', '.join(DATASETS)}.")
    if _DATASET.value == "synthbirds":
        count = {"train": _COUNT.value, "test": max(1, _COUNT.value // 10)}
        return open_source("synthbirds", None, _IMAGE_SIZE.value, seed=_SEED.value, count=count)
    if not _SOURCE.value:
        raise app.UsageError(f"Give the folder of {_DATASET.value} as --source=FOLDER.")
    missing = _CHECK.value or _SKIP_BROKEN.value
    return open_source(_DATASET.value, _SOURCE.value, _IMAGE_SIZE.value, allow_missing=missing)


def _check() -> int:
    if _SOURCE.value and records.is_prepared(_SOURCE.value):
        report = check.check_prepared(_SOURCE.value, progress=True)
    else:
        report = check.check_source(_open(), progress=True)
    print(report.text())
    return 1 if report.problems else 0


def _prepare() -> int:
    if not _OUT.value:
        raise app.UsageError("Give a new folder to write to as --out=FOLDER, or --check to write nothing.")
    source = _open()
    prepared, written = records.prepare(source, _OUT.value, _IMAGE_SIZE.value, _SKIP_BROKEN.value, progress=True)
    counts = ", ".join(
        f"{prepared.examples(split):,} {split} pictures with {prepared.captions(split):,} captions" for split in SPLITS
    )
    megabytes = sum(shard.bytes for shard in prepared.shards) / 1e6
    print(f"{prepared.folder}: {counts}, {len(prepared.shards)} shards, {megabytes:.1f} MB.")
    if prepared.left_out():
        print(f"Left out as broken: {len(prepared.left_out()):,}, listed in {records.FINISHED}.")
    print(
        f"Written: {len(written)} shards." if written else "It was finished already and is whole: nothing was written."
    )
    print(f"Next: python scripts/train.py --dataset={prepared.name} --data_dir={prepared.folder}")
    return 0


if __name__ == "__main__":
    app.run(main, flags_parser=_parse_flags)
