"""Anyone's own captioned pictures, in the layouts that people have; docs/data.md lists them.

Captions come from tables (`tables`), from a text or JSON file beside each picture or in a folder of captions
(`sidecars`), or, where nothing else in the folder could tell them, from names (`names`). Folders named train, test, val
and the like, and columns called split, are kept apart; otherwise a tenth of the pictures, told by a hash of their
names, is for testing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence

from absl import logging

from ssagan_tf.data.decoding import load_picture
from ssagan_tf.data.folder.lookup import Lookup, Unfound
from ssagan_tf.data.folder.names import caption_by_name, split_by_name
from ssagan_tf.data.folder.sidecars import Sidecars
from ssagan_tf.data.folder.tables import OTHER_ANNOTATIONS, Table, read_table
from ssagan_tf.data.folder.tree import Tree
from ssagan_tf.data.reading import clean_captions
from ssagan_tf.data.source import Example, Findings, check_split, some
from ssagan_tf.errors import UserError
from ssagan_tf.text.tokenizer import tokenize

TEST_SHARE = 0.1


@dataclasses.dataclass
class _Entry:
    captions: list[str] = dataclasses.field(default_factory=list)
    label: str | None = None
    split: str | None = None
    told_by: str = ""


class Folder:
    """A folder of captioned pictures as a `Source`.

    Args:
        data_dir: the folder.
        skip_broken: leave out what is broken and say so in `findings`, instead of refusing it; pictures that are
            missing are listed (their `load` raises).
        tokenizer: the rule by which captions become words, see `tokenize`.

    Raises:
        UserError: nothing in the folder tells its captions; or, from `examples`, something is broken or missing.
    """

    name = "folder"

    def __init__(self, data_dir: str | os.PathLike, skip_broken: bool = False, tokenizer: str = "unicode"):
        self._root = pathlib.Path(data_dir)
        self._skip_broken = skip_broken
        self.tokenizer = tokenizer
        self.findings = Findings()
        if not self._root.is_dir():
            raise UserError(f"There is no such folder. Received: {self._root}. Check the path.")

    def examples(self, split: str) -> Sequence[Example]:
        check_split(split)
        return [example for example, theirs in self._examples if theirs == split]

    def vocabulary(self) -> None:
        return None

    @functools.cached_property
    def _examples(self) -> list[tuple[Example, str]]:
        """All examples with their splits; fills `findings`, and raises what may not be left out."""
        self.findings = Findings()
        tree = Tree(self._root, self.findings)
        entries = _read_entries(tree, self.tokenizer, self.findings)
        examples = self._checked(tree, entries)
        self.findings.refuse(self._skip_broken)
        return examples

    def _checked(self, tree: Tree, entries: dict[str, _Entry]) -> list[tuple[Example, str]]:
        class_ids = self._class_ids(entries)
        splits = _splits(entries, self.findings)
        if not self._skip_broken:  # else they are listed, and their `load` raises
            lookup = Lookup(tree.originals)
            missing = [f"{key}{lookup.hint(key)}" for key in entries if key not in tree.pictures]
            self.findings.add("Pictures are missing", missing, f"Put them into {self._root}.")
        examples, wrong = [], []
        for key, entry in entries.items():
            try:
                captions = clean_captions(entry.captions, entry.told_by or key, self.tokenizer)
            except UserError as error:
                wrong.append(f"{key}: {_first_sentence(error)}")
                continue
            load = functools.partial(load_picture, tree.pictures.get(key, self._root / key))
            class_id = -1 if entry.label is None else class_ids.get(entry.label, -1)
            lost = len(entry.captions) - len(captions)
            examples.append((Example(key, captions, class_id, load, wordless=lost), splits[key]))
        self.findings.add("Pictures have no caption that can be used", wrong, "Write one for each.")
        return examples

    def _class_ids(self, entries: dict[str, _Entry]) -> dict[str, int]:
        labels = sorted({entry.label for entry in entries.values() if entry.label is not None})
        if len(labels) == 1 and len(entries) > 1 and all(entry.label for entry in entries.values()):
            self.findings.leave_out(
                "All pictures have one label, which leaves no captions of others to compare with; it is ignored",
                labels,
                "Label them by what tells them apart, or leave the labels out.",
            )
            return {}
        return {label: index for index, label in enumerate(labels)}


def _read_entries(tree: Tree, tokenizer: str, findings: Findings) -> dict[str, _Entry]:
    sidecars = Sidecars(tree)
    tables = [file for file in tree.tables() if file not in sidecars.files]
    entries, unread = _entries_of_tables(tree, tables, tokenizer, findings)
    if not tree.pictures and not entries:
        findings.refuse(skip_broken=False)
        raise UserError(
            f"There are no pictures. Received: {tree.root}{_others(findings)}. Put some there, with metadata.jsonl, "
            "metadata.csv, or a .txt file beside each."
        )
    told = {tree.originals.get(key, key) for key in entries}
    rest = [key for key in tree.once() if key not in told]
    beside = sidecars.read([key for key in rest if key in sidecars], findings)
    if not entries and not sidecars.used:
        return _entries_by_name(tree, unread, findings)
    read = {entry.told_by for entry in entries.values()} | sidecars.used
    _note_unread(tree, unread, {*tables, *read} - unread.keys(), findings)
    silent = [key for key in rest if key not in sidecars]
    if entries:
        repair = "Add them to the file of captions, or take them away."
        findings.leave_out(f"Pictures have no caption and are left out, of {len(tree.once()):,}", silent, repair)
    else:
        repair = "Add a .txt file of the same name to each, or take the picture away."
        findings.add(f"Pictures have no text file, of {len(tree.once()):,}", silent, repair)
    return entries | {key: _Entry(captions, told_by=told_by) for key, (captions, told_by) in beside.items()}


def _entries_of_tables(
    tree: Tree, files: list[str], tokenizer: str, findings: Findings
) -> tuple[dict[str, _Entry], dict[str, str]]:
    """Captions by tables; and the files that are none, with the reason."""
    lookup = Lookup(tree.originals)
    unread: dict[str, str] = {}
    tables: dict[str, Table] = {}
    for file, rival in _preferred(files).items():
        if rival:
            unread[file] = f"{rival} is read instead"
            continue
        folder = os.path.dirname(file)
        table = read_table(tree.others[file], functools.partial(lookup.is_there, folder=folder))
        if table.reason:
            unread[file] = table.reason
            if _is_metadata(file):
                findings.add(f"{os.path.basename(file)} cannot be used", [f"{file}: {table.reason}"], "Correct it.")
        else:
            tables[file] = table
    entries: dict[str, _Entry] = {}
    for file, table in tables.items():
        bad = [r for r in table.rows if not any(tokenize(caption, tokenizer) for caption in r.captions)]
        table.problems += [f"{row.place}: no caption with a word in it" for row in bad]
        _add_table(entries, file, table, lookup, findings)
    for file, table in tables.items():
        if split := split_by_name(file):
            for name in table.names:
                key = lookup.key(name, os.path.dirname(file), split)
                if key in entries:
                    entries[key].split = split
            findings.notes += [f"{file}: names of {len(table.names):,} pictures to {split}"] if table.names else []
    return entries, unread


def _preferred(files: list[str]) -> dict[str, str | None]:
    """For each table None, or the one that is read instead: beside a metadata file no others are.

    Nor are the words in their basic forms that come with Flickr8k.token.txt.
    """
    rivals: dict[str, str | None] = {os.path.dirname(file): file for file in reversed(files) if _is_metadata(file)}
    rivals |= {file: plain for file in files if (plain := file.replace(".lemma.", ".")) in {*files} - {file}}
    return {f: None if _is_metadata(f) else rivals.get(f) or rivals.get(os.path.dirname(f)) for f in files}


def _is_metadata(file: str) -> bool:
    return os.path.basename(file).lower().startswith("metadata.")


def _add_table(entries: dict[str, _Entry], file: str, table: Table, lookup: Lookup, findings: Findings) -> None:
    """Adds the rows of a table; what is wrong with them is a problem."""
    problems, rivals = list(table.problems), dict[str, None]()
    folder, of_file = os.path.dirname(file), split_by_name(file)
    for row in table.rows:
        try:
            key = lookup.key(row.name, folder, of_file)
        except Unfound as error:
            problems.append(f"{row.place}: {error}")
            continue
        split = split_by_name(row.split) if row.split else of_file
        if row.split and split is None:
            problems.append(f"{row.place}: the split {row.split[:40]!r}, which is neither train nor test")
            continue
        entry = entries.setdefault(key, _Entry(told_by=file))
        if entry.told_by != file:
            rivals |= {f"{key}: {entry.told_by} and {file}": None}
            continue
        if split and entry.split and split != entry.split:
            problems.append(f"{row.place}: {row.name} is in train and in test")
            continue
        entry.captions += row.captions
        entry.label = entry.label if row.label is None else row.label
        entry.split = split or entry.split
    findings.add(f"{os.path.basename(file)} has bad lines", problems, f"Correct or remove them in {file}.")
    findings.add("Two files tell the captions of the same pictures", list(rivals), "Keep one of the files.")
    if table.rows:
        findings.notes.append(f"{file}: {len(table.rows):,} captions or rows{table.read and '; ' + table.read}")


def _entries_by_name(tree: Tree, unread: dict[str, str], findings: Findings) -> dict[str, _Entry]:
    """Captions made of the names of folders and files, where nothing else could tell them; which is told."""
    findings.refuse(skip_broken=False)
    if telling := tree.telling():
        told = [f"{file} ({unread[file]})" if file in unread else file for file in telling]
        raise UserError(
            f"No captions were found in the files that lie beside the pictures ({len(telling):,}). Received: "
            f"{some(told)}, in {tree.root}. Write metadata.csv with the columns file_name and text, or a .txt file "
            "beside each picture; or take the files away, and names of folders and files are the captions."
        )
    entries = {key: _Entry(*caption_by_name(key)) for key in tree.once()}
    wordless = [key for key, entry in entries.items() if not entry.captions]
    if len(wordless) == len(entries):
        raise UserError(
            f"Nothing tells the captions ({len(wordless):,}). Received: {some(wordless)}, in {tree.root}, whose "
            "names say nothing either. Add metadata.jsonl, metadata.csv, or a .txt file beside each picture."
        )
    repair = "Rename them, or add metadata.csv or a .txt file beside each picture."
    findings.add("The names of pictures and their folders say nothing", wordless, repair)
    entries = {key: entry for key, entry in entries.items() if entry.captions}
    first = next(iter(entries.values())).captions[-1]
    logging.warning(
        "Nothing tells the captions of %s: names of folders and files do, such as %r. Write your own into "
        "metadata.jsonl for a model that understands more.",
        tree.root,
        first,
    )
    findings.notes.append(f"captions are the names of folders and files, such as {first!r}")
    return entries


def _note_unread(tree: Tree, unread: dict[str, str], read: set[str], findings: Findings) -> None:
    """Says which files that may hold captions were not read."""
    others = [file for file in tree.telling() if file not in read]
    told = [f"{file} ({unread[file]})" if file in unread else file for file in others if not _is_metadata(file)]
    about = [name for name in told if name.endswith(("is read instead)", f"{OTHER_ANNOTATIONS})"))]
    findings.note("files that were not read, since others tell the captions", about)
    repair = "Take them away, or give them the names of their pictures or the columns file_name and text."
    findings.leave_out("Files that may hold captions were not read", [n for n in told if n not in about], repair)


def _splits(entries: dict[str, _Entry], findings: Findings) -> dict[str, str]:
    """The split of each picture: as told by columns, files or folders, else a tenth for testing."""
    told = {key: entry.split or split_by_name(os.path.dirname(key)) for key, entry in entries.items()}
    if "test" not in told.values():
        test = _test_names(list(entries))
        return {key: "test" if key in test else "train" for key in entries}
    findings.note("pictures of neither split, which are trained on", [key for key, split in told.items() if not split])
    return {key: split or "train" for key, split in told.items()}


def _test_names(names: list[str]) -> set[str]:
    """A tenth of the names, told by their hashes; of two or more at least one, and never all."""
    place = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64 for name in names}
    ranked = sorted(names, key=place.__getitem__)
    count = sum(place[name] < TEST_SHARE for name in names)
    return set(ranked[: min(max(count, 1), len(names) - 1)])


def _others(findings: Findings) -> str:
    return (
        ", where " + "; ".join([*findings.left_out, *findings.notes]).rstrip(".")
        if findings.left_out or findings.notes
        else ""
    )


def _first_sentence(error: UserError) -> str:
    return str(error).split(". Received:")[0]
