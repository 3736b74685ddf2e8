"""Caption files of one picture each: beside it, or at the same place in a folder of captions."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Iterator, Sequence

from ssagan_tf.data.folder.names import words_of
from ssagan_tf.data.folder.tables import read_sidecar
from ssagan_tf.data.folder.tree import TEXTS, Tree
from ssagan_tf.data.reading import read_lines
from ssagan_tf.data.source import Findings
from ssagan_tf.errors import UserError

# Folders of captions beside folders of pictures.
_FOLDERS = frozenset(
    "caption captions text texts txt txts label labels annotation annotations description descriptions prompt prompts "
    "sentence sentences".split()
)


class Sidecars:
    """The caption files of the pictures of a tree.

    `1.png` may have `1.txt`, `1.caption`, `1.json` or `1.png.txt`; `captions/1.txt` beside `images/1.png` or beside
    `1.png` itself; or the one file `1.txt` that there is below a folder of captions.

    Attributes:
        files: all of them.
        used: those that were read.
    """

    def __init__(self, tree: Tree):
        self._tree = tree
        self.used: set[str] = set()
        files = [key for key in tree.others if os.path.splitext(key)[1].lower() in (*TEXTS, ".json")]
        self._by_place: dict[str, list[str]] = collections.defaultdict(list)
        for file in files:
            for place in _places_of_text(os.path.splitext(file)[0]):
                self._by_place[place].append(file)
        self.files = {file for key in tree.pictures for file in self._of(key)}

    def __contains__(self, key: str) -> bool:
        return bool(self._of(key))

    def read(self, keys: Sequence[str], findings: Findings) -> dict[str, tuple[list[str], str]]:
        """Captions of the pictures, and which file told them; files that cannot be read or are empty are problems."""
        found: dict[str, tuple[list[str], str]] = {}
        wrong: list[str] = []
        empty, not_utf8, owners = [], [], dict[str, str]()
        shared = dict[str, None]()
        for key in keys:
            texts = dict.fromkeys(caption for file in self._of(key) for caption in self._lines(file, wrong))
            files = ", ".join(self._of(key))
            folder = os.path.dirname(key)
            shared |= {
                f"{f}: {folder}/ and {owners[f]}/": None for f in self._of(key) if owners.get(f, folder) != folder
            }
            owners |= dict.fromkeys(self._of(key), folder)
            if texts:
                found[key] = (list(texts), files)
                not_utf8 += [files] if any("\ufffd" in text for text in texts) else []
            elif not any(file.partition(": ")[0] in self._of(key) for file in wrong):
                empty.append(files)
        findings.add("Caption files cannot be read", wrong, "Correct them.")
        findings.add(
            "Caption files belong to pictures of several folders", list(shared), "Put one beside each picture."
        )
        findings.add("Caption files are empty", empty, "Write a caption into each.")
        findings.leave_out("Caption files are not UTF-8; some letters are lost", not_utf8, "Save them as UTF-8.")
        return found

    def _lines(self, file: str, wrong: list[str]) -> list[str]:
        self.used.add(file)
        try:
            if file.lower().endswith(".json"):
                return read_sidecar(self._tree.others[file]) or []
            return read_lines(self._tree.others[file])
        except UserError as error:
            wrong.append(f"{file}: {str(error).split('. Received:')[0]}")
            return []

    def _of(self, key: str) -> list[str]:
        stem = os.path.splitext(key)[0]
        elsewhere = [*_places_of_picture(stem), *_places_of_picture(key)]
        for places in ([stem, key], [stem.casefold(), key.casefold()], elsewhere):
            files = dict.fromkeys(file for place in places for file in self._by_place.get(place, ()))
            if files:
                return list(files)
        only = self._by_place.get(_anywhere(stem), [])
        return only if len(only) == 1 else []


def _places_of_text(stem: str) -> Iterator[str]:
    """Where pictures may lie that a text file belongs to; a star stands for any folder in place of the captions'."""
    yield stem
    if stem != stem.casefold():
        yield stem.casefold()
    parts = pathlib.PurePosixPath(stem.casefold()).parts
    for index, part in enumerate(parts[:-1]):
        if part in _FOLDERS or not _FOLDERS.isdisjoint(words_of(part)):
            yield "*" + "/".join((*parts[:index], "*", *parts[index + 1 :]))
            yield "*" + "/".join((*parts[:index], *parts[index + 1 :]))
            yield _anywhere(stem)


def _anywhere(stem: str) -> str:
    """Whatever its folder: in Oxford's flowers captions lie in folders of classes, and pictures in one."""
    return "**" + os.path.basename(stem).casefold()


def _places_of_picture(stem: str) -> Iterator[str]:
    parts = pathlib.PurePosixPath(stem.casefold()).parts
    yield "*" + "/".join(parts)
    for index in range(len(parts) - 1):
        yield "*" + "/".join((*parts[:index], "*", *parts[index + 1 :]))
        yield "*" + "/".join((*parts[:index], *parts[index + 1 :]))
