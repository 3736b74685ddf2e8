"""Prepared data sets: pictures resized once, with their captions, in TFRecord shards that say what they hold.

    dataset.json                     what is here: counts, and each shard's size and checksum; written last
    vocabulary.txt                   one word a line, in order of ids
    train-00000-of-00002.tfrecord    ... and test-...

While a folder is being prepared, `unfinished.json` stands for `dataset.json`. An interrupted run goes on at the first
missing shard and ends with the same bytes as one that was not interrupted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Sequence

from absl import logging

from ssagan_tf.core import files
from ssagan_tf.core.progress import Bar
from ssagan_tf.data.reading import lost_in, path_problem, read_bytes
from ssagan_tf.data.source import DRAWN, SPLITS, Example, Source, resize_short_side, some, working_size
from ssagan_tf.errors import UserError
from ssagan_tf.text.vocabulary import Vocabulary

FORMAT = 1
EXAMPLES_PER_SHARD = 500  # about 80 MB of photographs at 256 pixels
MAX_JSON_BYTES = 64 * 2**20
RUN_DATA = "data"  # in a run folder: what was prepared for that training
FINISHED, UNFINISHED, VOCABULARY = "dataset.json", "unfinished.json", "vocabulary.txt"
# Names of a record's features.
IMAGE, KEY, CAPTIONS, LABEL = "image/encoded", "image/key", "caption/text", "class/label"


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records.

    Attributes:
        file: its name within the folder.
        split: "train" or "test".
        examples, captions: how many it holds.
        left_out: keys of the pictures that could not be read and were left out.
        bytes, sha256: of the file.
    """

    file: str
    split: str
    examples: int
    captions: int
    left_out: tuple[str, ...]
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a prepared folder holds.

    Attributes:
        folder: where it is.
        name: the source's name, e.g. "cub".
        image_size: the size, in pixels, of the pictures to be trained on.
        short_side: of the stored pictures, RGB PNGs, in pixels; what is above `image_size` is room for random crops.
        fingerprint: SHA-256 of all keys, captions and class ids that were to be prepared.
        shards: the files.
    """

    folder: pathlib.Path
    name: str
    image_size: int
    short_side: int
    fingerprint: str
    shards: tuple[Shard, ...]

    def files(self, split: str) -> list[str]:
        """Paths of the split's shards."""
        return [str(self.folder / shard.file) for shard in self.shards if shard.split == split]

    def examples(self, split: str) -> int:
        """Number of pictures of the split."""
        return sum(shard.examples for shard in self.shards if shard.split == split)

    def captions(self, split: str) -> int:
        """Number of captions of the split."""
        return sum(shard.captions for shard in self.shards if shard.split == split)

    def left_out(self) -> list[str]:
        """Keys of the pictures that could not be read and were left out."""
        return [key for shard in self.shards for key in shard.left_out]

    def vocabulary(self) -> Vocabulary:
        """The vocabulary beside the shards. Raises UserError if it cannot be read."""
        return Vocabulary.load(self.folder / VOCABULARY)


def features() -> dict:
    """What `tf.io.parse_single_example` needs: scalar strings, ragged captions, a scalar int64 label."""
    import tensorflow as tf

    return {
        IMAGE: tf.io.FixedLenFeature([], tf.string),
        KEY: tf.io.FixedLenFeature([], tf.string),
        CAPTIONS: tf.io.RaggedFeature(tf.string),
        LABEL: tf.io.FixedLenFeature([], tf.int64),
    }


def is_prepared(folder: str | os.PathLike) -> bool:
    """Whether `prepare` has written into the folder; `open_prepared` says if it came to the end."""
    return any((pathlib.Path(folder) / name).is_file() for name in (FINISHED, UNFINISHED))


def open_prepared(folder: str | os.PathLike) -> Prepared:
    """What a prepared folder says of itself, its shards' sizes checked (`verify` checks their bytes).

    Raises:
        UserError: not prepared to the end, prepared by another version, or a shard is missing or cut.
    """
    folder = pathlib.Path(folder)
    if not (folder / FINISHED).is_file():
        state = "begun but not finished" if is_prepared(folder) else "not prepared"
        raise UserError(f"The data set is {state}. Received: {folder}. Run prepare_data.py with --out={folder}.")
    prepared = _read_state(folder, FINISHED)
    damaged = [shard.file for shard in prepared.shards if not _whole(folder, shard)]
    if damaged:
        raise _damaged(damaged, folder)
    return prepared


def verify(prepared: Prepared) -> list[str]:
    """Names of the shards whose bytes are not those that were written."""
    return [
        shard.file
        for shard in prepared.shards
        if not _whole(prepared.folder, shard) or files.sha256(prepared.folder / shard.file) != shard.sha256
    ]


def prepare(
    source: Source,
    out: str | os.PathLike,
    image_size: int,
    skip_broken: bool = False,
    progress: bool = False,
    examples_per_shard: int = EXAMPLES_PER_SHARD,
    short_side: int | None = None,
) -> tuple[Prepared, list[str]]:
    """Writes the source into `out`, or goes on with what an earlier call began there.

    Args:
        source: where the examples come from.
        out: new or empty folder, or one begun with the same source and size.
        image_size: pixels, of the pictures to be trained on.
        skip_broken: leave out (and list) pictures that cannot be read, instead of ending with an error.
        progress: show a progress bar.
        examples_per_shard: how many a file holds.
        short_side: pixels, of the pictures to be stored; None: `working_size`.

    Returns:
        What is in the folder, and the names of the files that this call wrote; none if it was finished already.

    Raises:
        UserError: pictures that cannot be read, all of them named at the end of a whole pass; `out` holds something
            else; the disk is full or the folder read-only.
    """
    out = pathlib.Path(out)
    examples = {split: list(source.examples(split)) for split in SPLITS}
    short_side = short_side or working_size(source.name, image_size)
    if short_side < image_size:
        raise UserError(
            f"The stored pictures would be smaller than those to be trained on. Received: short_side={short_side}. "
            f"Use {image_size} or more."
        )
    wanted = Prepared(out, source.name, image_size, short_side, _fingerprint(examples), ())
    begun = _begun(wanted)
    plan = _plan(examples, examples_per_shard)
    # What was left out before may have been replaced since.
    kept = [shard for shard in begun.shards if shard.file in plan and (skip_broken or not shard.left_out)]
    whole = {shard.file: shard for shard in kept if _whole(out, shard)}
    missing = [file for file in plan if file not in whole]
    if (out / FINISHED).is_file() and not missing and (out / VOCABULARY).is_file():
        return begun, []

    _write_state(dataclasses.replace(wanted, shards=tuple(whole.values())), UNFINISHED)
    broken: list[str] = []
    with Bar(sum(len(plan[file][1]) for file in missing), "pictures", progress) as bar:
        for file in missing:
            shard, problems = _write_shard(out / file, *plan[file], short_side, skip_broken, bar)
            broken += problems
            if shard:
                whole[file] = shard
                _write_state(dataclasses.replace(wanted, shards=tuple(whole.values())), UNFINISHED)
    if broken:
        raise UserError(
            f"Pictures cannot be read ({len(broken):,}). Received: {some(broken)}. Replace them and run again (what is "
            "done is kept), or leave them out with --skip_broken."
        )
    prepared = dataclasses.replace(wanted, shards=tuple(whole[file] for file in plan))
    left_out = set(prepared.left_out())
    texts = (text for each in examples["train"] if each.key not in left_out for text in each.captions)
    vocabulary = source.vocabulary() or Vocabulary.build(texts, source.tokenizer)
    vocabulary.save(out / VOCABULARY)
    _warn(source, examples, vocabulary.tokenizer)
    _write_state(prepared, FINISHED)
    (out / UNFINISHED).unlink(missing_ok=True)
    return prepared, missing


def _warn(source: Source, examples: dict[str, list[Example]], tokenizer: str) -> None:
    """Says what of the source is not in the records."""
    for line in [*source.findings.problems, *source.findings.left_out]:
        logging.warning("Left out: %s", line)
    wordless = [each.key for listed in examples.values() for each in listed if each.wordless]
    if wordless:
        logging.warning("Captions without a word are left out, of %d pictures: %s.", len(wordless), some(wordless))
    captions = (text for listed in examples.values() for each in listed for text in each.captions)
    if source.name not in DRAWN and (told := lost_in(captions, tokenizer)):
        logging.warning("Characters that the %s tokenizer drops are in captions %s.", tokenizer, told)


def _begun(wanted: Prepared) -> Prepared:
    """What is in the folder already; refuses a folder of something else."""
    out = wanted.folder
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return wanted
    for name in (UNFINISHED, FINISHED):
        if (out / name).is_file():
            begun = _read_state(out, name)
            if other := _difference(begun, wanted):
                raise UserError(f"The folder holds another data set. Received: {out}: {other}. Choose another --out.")
            return begun
    raise UserError(f"The folder is not empty. Received: {out}. Choose a new one as --out.")


def _difference(begun: Prepared, wanted: Prepared) -> str | None:
    for field in ("name", "image_size", "short_side"):
        if getattr(begun, field) != getattr(wanted, field):
            return f"{field} is {getattr(begun, field)} there, {getattr(wanted, field)} here"
    return None if begun.fingerprint == wanted.fingerprint else "other pictures or captions"


def _plan(examples: dict[str, list[Example]], size: int) -> dict[str, tuple[str, list[Example]]]:
    """The split and examples of each shard, mixed by a hash of their keys so that no shard holds one class."""
    plan = {}
    for split, listed in examples.items():
        mixed = sorted(listed, key=lambda example: hashlib.sha256(example.key.encode()).digest())
        parts = [mixed[start : start + size] for start in range(0, len(mixed), size)]
        for index, part in enumerate(parts):
            plan[f"{split}-{index:05d}-of-{len(parts):05d}.tfrecord"] = (split, part)
    return plan


def _fingerprint(examples: dict[str, list[Example]]) -> str:
    digest = hashlib.sha256()
    for split, listed in examples.items():
        for example in listed:
            digest.update(json.dumps([split, example.key, example.captions, example.class_id]).encode())
    return digest.hexdigest()


def _write_shard(
    path: pathlib.Path, split: str, examples: list[Example], short_side: int, skip_broken: bool, bar: Bar
) -> tuple[Shard | None, list[str]]:
    """The shard, or None and what is broken in it."""
    records, left_out, problems, captions = [], [], [], 0
    for example in examples:
        try:
            records.append(_record(example, _png(example, short_side)))
            captions += len(example.captions)
        except UserError as error:
            left_out.append(example.key)
            problems.append(f"{example.key}: {str(error).split('. Received:')[0]}")
        bar.step()
    if problems and not skip_broken:
        return None, problems
    _write_records(path, records)
    size, checksum = path.stat().st_size, files.sha256(path)
    return Shard(path.name, split, len(records), captions, tuple(left_out), size, checksum), []


def _png(example: Example, short_side: int) -> bytes:
    buffer = io.BytesIO()
    # Level 3 packs within 5 % of the default's size in less than half of its time.
    resize_short_side(example.load(), short_side).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _record(example: Example, image: bytes) -> bytes:
    import tensorflow as tf

    def texts(*values: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    values = {
        IMAGE: texts(image),
        KEY: texts(example.key.encode()),
        CAPTIONS: texts(*(caption.encode() for caption in example.captions)),
        LABEL: tf.train.Feature(int64_list=tf.train.Int64List(value=[example.class_id])),
    }
    record = tf.train.Example(features=tf.train.Features(feature=values))
    return record.SerializeToString(deterministic=True)


def _write_records(path: pathlib.Path, records: Sequence[bytes]) -> None:
    """Writes a shard aside, flushes it and renames it. The aside file of a killed run is simply written over."""
    import tensorflow as tf

    aside = path.with_name(f".{path.name}.partial")
    try:
        with tf.io.TFRecordWriter(str(aside)) as writer:
            for record in records:
                writer.write(record)
        files.flush_to_disk(aside)
        # The writer tells of a full disk at its end, if at all. A record adds a length and two checksums.
        if aside.stat().st_size != sum(len(record) + 16 for record in records):
            raise OSError("the file came out too short")
        os.replace(aside, path)
        files.flush_to_disk(path.parent)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
        raise UserError(
            f"A shard could not be written. Received: {path}: {' '.join(reason.split())}. Free some space or choose "
            "another --out, and run again: what is done is kept."
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _whole(folder: pathlib.Path, shard: Shard) -> bool:
    path = folder / shard.file
    return path.is_file() and path.stat().st_size == shard.bytes


def _damaged(names: list[str], folder: pathlib.Path) -> UserError:
    return UserError(
        f"Shards are damaged or missing ({len(names):,}). Received: {some(names)}, in {folder}. "
        "Run prepare_data.py again as before: it writes only what is missing."
    )


def _write_state(prepared: Prepared, name: str) -> None:
    state = {
        "format": FORMAT,
        "name": prepared.name,
        "image_size": prepared.image_size,
        "short_side": prepared.short_side,
        "fingerprint": prepared.fingerprint,
        "splits": {
            split: {"examples": prepared.examples(split), "captions": prepared.captions(split)} for split in SPLITS
        },
        "shards": [dataclasses.asdict(shard) for shard in prepared.shards],
    }
    files.write_atomically(prepared.folder / name, json.dumps(state, indent=1) + "\n")


def _read_state(folder: pathlib.Path, name: str) -> Prepared:
    path = folder / name
    try:
        state = json.loads(read_bytes(path, MAX_JSON_BYTES))
        if state["format"] != FORMAT:
            raise UserError(
                f"The folder was prepared by another version. Received: {path}: format {state['format']!r}, not "
                f"{FORMAT}. Prepare the data set again."
            )
        shards = tuple(Shard(**shard | {"left_out": tuple(shard["left_out"])}) for shard in state["shards"])
        name, size = state["name"], state["image_size"]
        # Folders of before there was a choice do not say.
        short_side = state["short_side"] if "short_side" in state else working_size(name, size)
        prepared = Prepared(folder, name, size, short_side, state["fingerprint"], shards)
        _check_types(prepared)
        if any(path_problem(shard.file) or "/" in shard.file for shard in shards):
            raise ValueError("a shard outside the folder")
        return prepared
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"The file does not describe a prepared data set. Received: {path}: {error}. Prepare the data set again."
        ) from error


def _check_types(prepared: Prepared) -> None:
    """Raises ValueError for text in the place of a number and the like."""
    texts = [prepared.name, prepared.fingerprint]
    numbers = [prepared.image_size, prepared.short_side]
    for shard in prepared.shards:
        texts += [shard.file, shard.split, shard.sha256, *shard.left_out]
        numbers += [shard.examples, shard.captions, shard.bytes]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("something else than text")
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise ValueError("something else than a whole number")
