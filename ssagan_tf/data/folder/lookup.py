"""From a name that a file of captions gives to the picture that is meant."""

from __future__ import annotations

import collections
import os
import pathlib
import unicodedata
from urllib.parse import unquote

from ssagan_tf.data.decoding import is_picture
from ssagan_tf.data.folder.names import split_by_name
from ssagan_tf.data.reading import path_problem


class Unfound(Exception):
    """Why a name means no picture."""


class Lookup:
    """Finds pictures by names that may lack folders or the ending, or differ in case or in Unicode's form.

    Args:
        originals: for the key of each picture the one under which it is read; they differ where links lead to one.
    """

    def __init__(self, originals: dict[str, str]):
        self._originals = originals
        self._by_name: dict[str, list[str]] = collections.defaultdict(list)
        self._by_stem: dict[str, list[str]] = collections.defaultdict(list)
        for key in originals:
            base = os.path.basename(key).casefold()
            self._by_name[base].append(key)
            self._by_stem[os.path.splitext(base)[0]].append(key)

    def is_there(self, name: str, folder: str) -> bool:
        """Whether a text names a picture."""
        name = _normal(name)
        try:
            return not path_problem(name) and bool(self._matches(name, folder))
        except Unfound:
            return True

    def key(self, name: str, folder: str, split: str | None = None) -> str:
        """The key of the picture that a file in `folder` means by `name`; of one that is missing, where it should be.

        Args:
            name: as it is written; an absolute path, of another machine perhaps, and one of a URL have the same end.
            folder: of the file that has it.
            split: that the file is of: its pictures are looked for in folders of that split first.

        Raises:
            Unfound: several pictures may be meant, or the path leads out of the folder.
        """
        name = _normal(name)
        found = self._matches(name, folder, split) or self._matches(_normal(unquote(name)), folder, split)
        if found:
            return found
        if name.startswith("/"):
            raise Unfound("a path that leads out of the folder")
        return str(pathlib.PurePosixPath(folder, name))

    def _matches(self, name: str, folder: str, split: str | None = None) -> str | None:
        base = os.path.basename(name).casefold()
        beside = str(pathlib.PurePosixPath(folder, name))
        for keys, with_ending in ((self._by_name.get(base, ()), True), (self._by_stem.get(base, ()), False)):
            keys = [key for key in keys if split and split_by_name(os.path.dirname(key)) == split] or keys
            if with_ending or not is_picture(name):
                if found := self._best(_parts(name, True), [*keys], beside, name, folder, with_ending):
                    return found
        return None

    def hint(self, missing: str) -> str:
        """What to add to the key of a missing picture: one of the same name but for its ending."""
        near = self._by_stem.get(os.path.splitext(os.path.basename(missing))[0].casefold())
        return f" (there is {near[0]})" if near else ""

    def _best(
        self, parts: list[str], keys: list[str], beside: str, name: str, folder: str, with_ending: bool
    ) -> str | None:
        """The nearest of some pictures: beside the file, from the root, then anywhere; the exact name before others."""
        candidates = [key for key in keys if _same_end(parts, _parts(key, with_ending))]

        def distance(key: str) -> tuple[bool, ...]:
            shown = key if with_ending else os.path.splitext(key)[0]
            inside = not folder or key.startswith(f"{folder}/")
            near = (shown.casefold() != beside.casefold(), shown.casefold() != name.casefold(), not inside)
            return (*near, shown != beside and shown != name, not shown.endswith(os.path.basename(name)))

        ranked = sorted(candidates, key=lambda key: (distance(key), key))
        nearest = [key for key in ranked if distance(key) == distance(ranked[0])]
        if len({self._originals[key] for key in nearest}) > 1:
            raise Unfound(f"{name!r} may be {ranked[0]} or {ranked[1]}")
        return ranked[0] if ranked else None


def _same_end(parts: list[str], others: list[str]) -> bool:
    """Whether one path is the end of the other."""
    count = min(len(parts), len(others))
    return parts[-count:] == others[-count:]


def _parts(key: str, with_ending: bool) -> list[str]:
    path = (key if with_ending else os.path.splitext(key)[0]).casefold().lstrip("/")
    return list(pathlib.PurePosixPath(path).parts)


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", str(pathlib.PurePosixPath(name)))
