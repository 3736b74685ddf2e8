"""The files of a folder, by what they are: pictures, texts, tables and what is left out."""

from __future__ import annotations

import collections
import os
import pathlib
import stat
import unicodedata
from collections.abc import Iterator

from ssagan_tf.data.decoding import is_picture, looks_like_picture
from ssagan_tf.data.folder.names import split_by_name, words_of
from ssagan_tf.data.reading import path_problem
from ssagan_tf.data.source import Findings

TEXTS = (".txt", ".caption", ".captions", ".cap")
TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".token", ".tok")
# Nobody reads these here, but captions may be in them.
_TELLING = (".xlsx", ".xls", ".ods", ".xml", ".yaml", ".yml", ".arrow", ".pkl", ".pickle", ".db", ".sqlite", ".html")
_ARCHIVES = (".tar", ".zip", ".tgz", ".gz", ".7z", ".rar", ".tfrecord", ".tfrecords", ".bz2", ".xz")
_UNREADABLE = tuple(
    ".heic .heif .hif .jxl .jxr .svg .pdf .eps .ps .ai .wmf .emf .xcf .exr .hdr .raw .dng .cr2 .cr3 .nef .arw .orf "
    ".rw2 .raf .mp4 .mov .avi .webm .mkv .mpg .mpeg .m4v".split()
)
# Stems of files that speak of the data set, not of its pictures.
_ABOUT = ("readme", "license", "licence", "copying", "notice", "citation", "attribution", "credits", "changelog")
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found", ".DS_Store", ".git")
_LONGEST_LINK = 1024  # bytes
_MOST_VISITS = 3  # to one folder, by several links


class Tree:
    """The files below a folder; links are followed, loops of links end.

    Args:
        root: the folder.
        findings: gets what is left out.

    Attributes:
        pictures: path of each picture by its key: its place below `root`, in Unicode's composed form.
        others: the same of all other files.
    """

    def __init__(self, root: pathlib.Path, findings: Findings):
        self.root = pathlib.Path(os.path.realpath(root))
        self.pictures: dict[str, pathlib.Path] = {}
        self.others: dict[str, pathlib.Path] = {}
        self._linked = False
        self._left: dict[str, list[str]] = collections.defaultdict(list)
        for name, path in self._files():
            self._sort_in(name, path)
        self.originals = self._originals()
        self._report(findings)

    def once(self) -> list[str]:
        """Keys of the pictures, of those that several links lead to one."""
        return [key for key in self.pictures if self.originals[key] == key]

    def telling(self) -> list[str]:
        """Files that may hold captions, read or not."""
        endings = (*TEXTS, *TABLES, *_TELLING)
        return [
            key for key in self.others if (_ending(key) in endings or _is_named_captions(key)) and not _is_about(key)
        ]

    def tables(self) -> list[str]:
        """Files that may hold captions of many pictures."""
        return [key for key in self.telling() if _ending(key) in TABLES]

    def _files(self) -> Iterator[tuple[str, pathlib.Path]]:
        visits: collections.Counter = collections.Counter()
        waiting = [(self.root, "", frozenset([_identity(self.root)]))]
        while waiting:
            folder, prefix, above = waiting.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                self._left["folders that cannot be read"].append(prefix or str(folder))
                continue
            for entry in entries:
                name, target, mode = prefix + entry.name, None, _mode(entry)
                self._linked |= entry.is_symlink()
                if entry.name in _OF_SYSTEMS:
                    continue
                if entry.name.startswith("."):
                    self._left["hidden files and folders"].append(name)
                elif stat.S_ISDIR(mode) or (target := _saved_link(entry, mode)):
                    path = pathlib.Path(entry.path) if target is None else target
                    self._linked |= target is not None
                    identity = _identity(path)
                    visits[identity] += 1
                    if identity in above or visits[identity] > _MOST_VISITS:
                        self._left["links in a loop"].append(name)
                    else:
                        waiting.append((path, f"{name}/", above | {identity}))
                elif stat.S_ISREG(mode):
                    yield name, pathlib.Path(entry.path)
                else:
                    kind = "what is no file" if mode else "links to nothing"
                    self._left[kind].append(name)

    def _sort_in(self, name: str, path: pathlib.Path) -> None:
        ending = _ending(name)
        known = (*TEXTS, *TABLES, *_TELLING, *_ARCHIVES, *_UNREADABLE)
        drawn = is_picture(name) or (ending not in known and looks_like_picture(path))
        if drawn and (problem := path_problem(name)):
            self._left["names that cannot be used"].append(f"{name!r}: {problem}")
            return
        key = unicodedata.normalize("NFC", name)
        files = self.pictures if drawn else self.others
        files[name if key in files else key] = path

    def _originals(self) -> dict[str, str]:
        """For each picture the key under which it is read: where links lead to it too, one of a split, or its own."""
        if not self._linked:
            return {key: key for key in self.pictures}
        groups = collections.defaultdict(list)
        for key, path in self.pictures.items():
            groups[os.path.realpath(path)].append(key)
        originals: dict[str, str] = {}
        for place, keys in groups.items():
            first: dict[str | None, str] = {}
            for key in sorted(keys, key=lambda key: (str(self.pictures[key]) != place, key)):
                first.setdefault(_split_of(key), key)
            in_split = first.get("train") or first.get("test") or first[None]
            originals |= {key: first[split] if (split := _split_of(key)) else in_split for key in keys}
        return originals

    def _report(self, findings: Findings) -> None:
        findings.add(
            "Pictures have names that cannot be used", self._left.pop("names that cannot be used", []), "Rename them."
        )
        unreadable = self._by_ending(_UNREADABLE)
        findings.leave_out(
            f"Files of kinds that cannot be read are left out{_kinds(unreadable)}",
            unreadable,
            "Convert them to JPEG or PNG.",
        )
        findings.leave_out("Archives are not unpacked", self._by_ending(_ARCHIVES), "Unpack them.")
        for kind in ("folders that cannot be read", "links to nothing"):
            findings.leave_out(f"There are {kind}", self._left.pop(kind, []), "Repair or remove them.")
        for kind, names in self._left.items():
            findings.note(f"left out: {kind}", names)
        findings.note(
            "pictures that several links lead to, read once", [k for k in self.pictures if self.originals[k] != k]
        )
        rest = [
            key for key in self.others if _ending(key) not in (*TEXTS, *TABLES, *_TELLING, *_ARCHIVES, *_UNREADABLE)
        ]
        findings.note(f"left out: other files{_kinds(rest)}", rest)

    def _by_ending(self, endings: tuple[str, ...]) -> list[str]:
        return [key for key in self.others if _ending(key) in endings]


def _mode(entry: os.DirEntry) -> int:
    """What an entry is, for the functions of `stat`; 0 for a link to nothing, to itself or to what is kept from us."""
    try:
        return entry.stat().st_mode
    except OSError:
        return 0


def _saved_link(entry: os.DirEntry, mode: int) -> pathlib.Path | None:
    """The folder that a link leads to which git saved as a text file, as it does where there are no links."""
    if not stat.S_ISREG(mode) or os.path.splitext(entry.name)[1] or entry.stat().st_size > _LONGEST_LINK:
        return None
    try:
        text = pathlib.Path(entry.path).read_text(encoding="utf-8")
        target = pathlib.Path(entry.path).parent / text
        return target if text.startswith("../") and "\n" not in text and target.is_dir() else None
    except (OSError, ValueError):
        return None


def _kinds(names: list[str]) -> str:
    counts = collections.Counter(_ending(name) or "no ending" for name in names)
    return ": " + ", ".join(f"{count:,} {ending}" for ending, count in sorted(counts.items())) if counts else ""


def _split_of(key: str) -> str | None:
    return split_by_name(os.path.dirname(key))


def _is_about(key: str) -> bool:
    stem = os.path.splitext(os.path.basename(key))[0].lower()
    return stem.startswith(_ABOUT) or stem.endswith("_stats")  # img2dataset writes those


def _is_named_captions(key: str) -> bool:
    """Whether a file is named captions, metadata or the like, whatever its ending, as captions.md."""
    return not {"caption", "captions", "metadata"}.isdisjoint(words_of(os.path.basename(key)))


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _identity(path: pathlib.Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
