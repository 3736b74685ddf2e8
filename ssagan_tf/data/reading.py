"""Texts and names from outside: bounded, checked, refused in one line."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable, Sequence

from ssagan_tf.core.files import read_regular
from ssagan_tf.errors import UserError
from ssagan_tf.text.tokenizer import lost_characters, tokenize

MAX_CAPTION_CHARACTERS = 10_000
MAX_CAPTION_FILE_BYTES = 2**20
_LONGEST_PATH = 2048  # bytes; with the folder's own path before it, file systems take twice as many
_SCRIPT = {"published": " with ASCII letters, or prepare with --tokenizer=unicode", "unicode": ""}


def read_captions(path: str | os.PathLike) -> tuple[str, ...]:
    """Reads captions, one a line, as UTF-8 (UTF-16 with a byte order mark); invalid bytes become U+FFFD.

    Blank lines and lines without a word, of whatever script, are left out.

    Raises:
        UserError: missing, too large, a line over `MAX_CAPTION_CHARACTERS`, or no caption left.
    """
    return clean_captions(read_lines(pathlib.Path(path)), str(path), "unicode")


def asked_captions(captions: Sequence[str], file: str | None) -> list[str]:
    """Those of --caption, then those of --captions_file. Raises UserError if there is none."""
    asked = [*captions, *(read_captions(file) if file is not None else ())]
    if not asked:
        raise UserError('No caption. Received: none. Give --caption="..." or --captions_file=FILE.')
    return asked


def read_lines(path: pathlib.Path) -> list[str]:
    """The lines of a caption file that are not blank. Raises UserError as `read_captions`."""
    text = read_text(path, MAX_CAPTION_FILE_BYTES).replace("\0", "")
    return [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]


def read_text(path: pathlib.Path, max_bytes: int) -> str:
    """Text of a file, its byte order mark honoured. Raises UserError if it is missing or too large."""
    data = read_bytes(path, max_bytes)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")


def read_bytes(path: pathlib.Path, max_bytes: int) -> bytes:
    """Bytes of a regular file. Raises UserError if it cannot be read or is larger than `max_bytes`."""
    try:
        return read_regular(path, max_bytes)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"A file could not be read. Received: {path}: {reason}. Check its path.") from error


def clean_captions(texts: Sequence[str], where: str, tokenizer: str = "published") -> tuple[str, ...]:
    """Captions that have a word in them by the tokenizer's rule, without NULs and outer white space.

    Raises:
        UserError: one is longer than `MAX_CAPTION_CHARACTERS` or none is left; names `where`.
    """
    captions = []
    for number, text in enumerate(texts, start=1):
        if len(text) > MAX_CAPTION_CHARACTERS:
            raise UserError(
                f"A caption is too long. Received: {len(text):,} characters in {where}, caption {number}. "
                f"Shorten it to at most {MAX_CAPTION_CHARACTERS:,}."
            )
        # A lone surrogate (JSON can carry one) is no text that could be written anywhere.
        caption = text.replace("\0", "").encode("utf-8", errors="replace").decode().strip()
        if tokenize(caption, tokenizer):
            captions.append(caption)
    if not captions:
        raise UserError(f"There is no caption with a word in it. Received: {where}. Write one{_SCRIPT[tokenizer]}.")
    return tuple(captions)


def lost_in(captions: Iterable[str], tokenizer: str) -> str | None:
    """How many captions have letters or pictographs that their words lack, with examples; None if none has."""
    lost = [(caption, found) for caption in captions if (found := lost_characters(caption, tokenizer))]
    if not lost:
        return None
    characters = "".join(dict.fromkeys(each for _, found in lost for each in found))
    return f"({len(lost):,}). Received: {characters[:20]!r}, as in {lost[0][0][:60]!r}"


def path_problem(name: str) -> str | None:
    """Why a file name from outside may not be used below the data folder, or None if it may."""
    parts = pathlib.PurePosixPath(name).parts
    if not parts:
        return "an empty file name"
    if "\\" in name or any(character < " " or character == "\x7f" for character in name):
        return "control characters or back slashes in a file name"
    if name.startswith("/") or ".." in parts:
        return "a path that leads out of the folder"
    if name.encode("utf-8", errors="replace").decode() != name:
        return "a file name that is not Unicode"
    if any(len(part.encode()) > 255 for part in parts) or len(name.encode()) > _LONGEST_PATH:
        return "a file name that is too long"
    return None
