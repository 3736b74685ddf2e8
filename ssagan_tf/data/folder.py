"""Anyone's own captioned pictures: a folder with `metadata.jsonl`, `metadata.csv` or a `.txt` beside each picture.

`metadata.jsonl`: one JSON object a line with `file_name` and either `text` or `captions` (a list), and optionally
`label`. `metadata.csv`: a first line naming the columns, `file_name`, `text` and optionally `label`. Several lines
for one picture give it several captions. Where nothing tells them, names do: a picture in a folder is "a photo of a
FOLDER", of that class, and the words of its own name are added; others are captioned by the words of their names. A
tenth of the pictures, told by a hash of the file name, is for testing.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence

from absl import logging

from ssagan_tf.data.source import (
    Example,
    check_split,
    clean_captions,
    load_picture,
    path_problem,
    read_bytes,
    read_lines,
    refuse_missing,
    some,
)
from ssagan_tf.errors import UserError
from ssagan_tf.text.tokenizer import tokenize

MAX_METADATA_BYTES = 2**30
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
TEST_SHARE = 0.1
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# What cameras and programs call pictures, and what folders of them are called.
_SAY_NOTHING = frozenset(
    "copy dsc dscf dscn image img jpg mvimg new photo pic picture pxl screenshot "
    "data images photos pictures test train val valid validation".split()
)


@dataclasses.dataclass
class _Entry:
    captions: list[str] = dataclasses.field(default_factory=list)
    label: str | None = None


class Folder:
    """A folder of captioned pictures as a `Source`.

    Args:
        data_dir: the folder.
        allow_missing: list examples whose picture file is missing too (their `load` raises).

    Raises:
        UserError: nothing in the folder tells its captions; or, from `examples`, something is broken or missing.
    """

    name = "folder"

    def __init__(self, data_dir: str | os.PathLike, allow_missing: bool = False):
        self._root = pathlib.Path(data_dir)
        self._allow_missing = allow_missing
        if not self._root.is_dir():
            raise UserError(f"There is no such folder. Received: {self._root}. Check the path.")

    def examples(self, split: str) -> Sequence[Example]:
        check_split(split)
        test = _test_names(list(self._entries))
        return [self._example(name) for name in self._entries if (name in test) == (split == "test")]

    def vocabulary(self) -> None:
        return None

    def _example(self, name: str) -> Example:
        entry = self._entries[name]
        captions = clean_captions(entry.captions, f"the captions of {name}")
        class_id = -1 if entry.label is None else self._class_ids[entry.label]
        load = functools.partial(load_picture, self._root / name)
        return Example(name, captions, class_id, load, wordless=len(entry.captions) - len(captions))

    @functools.cached_property
    def _class_ids(self) -> dict[str, int]:
        labels = {entry.label for entry in self._entries.values() if entry.label is not None}
        return {label: index for index, label in enumerate(sorted(labels))}

    @functools.cached_property
    def _entries(self) -> dict[str, _Entry]:
        readers = {"metadata.jsonl": _json_rows, "metadata.csv": _csv_rows}
        present = [name for name in readers if (self._root / name).exists()]
        if len(present) > 1:
            raise UserError(f"Two files tell the captions. Received: {' and '.join(present)}. Keep one of them.")
        if not present:
            return self._entries_beside()
        entries = _read_metadata(self._root / present[0], readers[present[0]])
        if not self._allow_missing:
            refuse_missing([name for name in entries if not (self._root / name).is_file()], self._root)
        return entries

    def _entries_beside(self) -> dict[str, _Entry]:
        """Pictures with a text file of the same name each."""
        paths = [path.relative_to(self._root) for path in sorted(self._root.rglob("*"))]
        names = [str(path) for path in paths if path.suffix.lower() in PICTURE_ENDINGS and not _hidden(path)]
        problems = [f"{name!r}: {problem}" for name in names if (problem := path_problem(name))]
        if problems:
            raise UserError(f"Rename some pictures. Received: {some(problems)}. Use plain file names.")
        silent = [name for name in names if not (self._root / name).with_suffix(".txt").is_file()]
        if not names:
            raise UserError(
                f"There are no pictures. Received: {self._root}. Put some there, with metadata.jsonl, metadata.csv, or "
                "a .txt file beside each."
            )
        if len(silent) == len(names):
            return self._entries_by_name(names)
        if silent:
            raise UserError(
                f"Pictures have no text file ({len(silent):,}). Received: {some(silent)}, in {self._root}. "
                "Add a .txt of the same name to each, or take the picture away."
            )
        return {name: _Entry(read_lines((self._root / name).with_suffix(".txt"))) for name in names}

    def _entries_by_name(self, names: list[str]) -> dict[str, _Entry]:
        """Captions made of the names of folders and files, which is told."""
        entries = {name: _named(pathlib.PurePosixPath(name)) for name in names}
        wordless = [name for name, entry in entries.items() if not entry.captions]
        if wordless:
            raise UserError(
                f"Nothing tells the captions ({len(wordless):,}). Received: {some(wordless)}, in {self._root}, whose "
                "names say nothing either. Add metadata.jsonl, metadata.csv, or a .txt file beside each picture."
            )
        first = next(iter(entries.values())).captions[-1]
        logging.warning(
            "Nothing tells the captions of %s: names of folders and files do, such as %r. Write your own into "
            "metadata.jsonl for a model that understands more.",
            self._root,
            first,
        )
        return entries


def _named(path: pathlib.PurePosixPath) -> _Entry:
    """What the names of a picture and of its folder say of it."""
    kind, own = _words(path.parent.name), _words(path.stem)
    if not kind:
        return _Entry([" ".join(own)] if own else [])
    sentence = f"a photo of a {' '.join(kind)}"
    more = [word for word in own if word not in kind]
    return _Entry([sentence, f"{sentence}, {' '.join(more)}"] if more else [sentence], " ".join(kind))


def _words(name: str) -> list[str]:
    """The words of a name as "001.Black_footed_Albatross" or "redBird-12" have them, in lower case."""
    words = [word.lower() for word in _WORD.findall(name)]
    return [word for word in words if word not in _SAY_NOTHING]


def _hidden(path: pathlib.PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _test_names(names: list[str]) -> set[str]:
    """A tenth of the names, told by their hashes; of two or more at least one, and never all."""
    place = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64 for name in names}
    ranked = sorted(names, key=place.__getitem__)
    count = sum(place[name] < TEST_SHARE for name in names)
    return set(ranked[: min(max(count, 1), len(names) - 1)])


def _read_metadata(path: pathlib.Path, rows: Callable[[str], Iterator[tuple[int, object]]]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    problems = []
    for number, row in rows(_text(path)):
        try:
            name, captions, label = _checked(row)
        except _BadRow as bad:
            problems.append(f"line {number}: {bad}")
            continue
        entry = entries.setdefault(name, _Entry())
        entry.captions += captions
        entry.label = entry.label if label is None else label
    if problems:
        raise UserError(
            f"{path.name} has bad lines ({len(problems):,}). Received: {some(problems)}, in {path}. "
            "Correct or remove them."
        )
    if not entries:
        raise UserError(f"{path.name} is empty. Received: {path}. Write a line for each picture.")
    return entries


class _BadRow(Exception):
    """What is wrong with one line."""


def _text(path: pathlib.Path) -> str:
    try:
        return read_bytes(path, MAX_METADATA_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path.name} line {line} is not UTF-8. Received: {path}. Save the file as UTF-8.") from error


def _json_rows(text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, "no JSON"


def _csv_rows(text: str) -> Iterator[tuple[int, object]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if not {"file_name", "text"} <= set(reader.fieldnames or ()):
            yield 1, "the first line must name the columns file_name and text"
            return
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        yield reader.line_num, f"no CSV ({error})"


def _checked(row: object) -> tuple[str, list[str], str | None]:
    """File name, captions and label of one line; raises _BadRow."""
    if isinstance(row, str):
        raise _BadRow(row)
    if not isinstance(row, dict):
        raise _BadRow("no object with file_name and text or captions")
    name, label = row.get("file_name"), row.get("label")
    if not isinstance(name, str):
        raise _BadRow("file_name is missing or no text")
    if problem := path_problem(name):
        raise _BadRow(problem)
    if label is not None and not isinstance(label, str | int):
        raise _BadRow("label must be text or a whole number")
    captions = row["captions"] if "captions" in row else [row.get("text")]
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise _BadRow("text must be text, captions a list of texts")
    if not any(tokenize(caption) for caption in captions):
        raise _BadRow("no caption with a word in it")
    return str(pathlib.PurePosixPath(name)), captions, None if label in (None, "") else str(label)
