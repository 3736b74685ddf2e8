"""What public functions ask of their arguments; each check raises UserError, which names the argument."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Collection, Iterable

from ssagan_tf.errors import UserError


def check_path(path: object) -> None:
    """Refuses what names no file or folder: a number, None, bytes."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or "\0" in os.fspath(path):
        raise UserError(f"This is no path. Received: {path!r:.80}. Give text or a pathlib.Path.")


def check_sizes(**sizes: object) -> None:
    """Refuses sizes that are no positive whole numbers, of Python or NumPy."""
    for name, size in sizes.items():
        try:
            fits = operator.index(size) > 0  # type: ignore[arg-type]
        except TypeError:
            fits = False
        if not fits:
            raise UserError(f"A size is a whole number, 1 or more. Received: {name}={size!r:.80}. Give one.")


def check_weights(**weights: object) -> None:
    """Refuses weights and rates that are no finite numbers from 0 on."""
    for name, weight in weights.items():
        try:
            fits = not isinstance(weight, str | bytes) and 0 <= float(weight) < math.inf  # type: ignore[arg-type]
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise UserError(f"A weight is a number, 0 or more. Received: {name}={weight!r:.80}. Give one.")


def check_texts(what: str, texts: object) -> None:
    """Refuses one text in the place of several, and what holds something else than texts."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise UserError(f"{what} are several texts. Received: {texts!r:.80}. Give a list.")
    if isinstance(texts, Collection) and (wrong := [each for each in texts if not isinstance(each, str)]):
        raise UserError(f"{what} are texts. Received: {wrong[0]!r:.80} among them. Give a list of str.")
