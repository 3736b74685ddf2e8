"""Writing without ever leaving half a file: aside, flushed, renamed."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator

from ssagan_tf.errors import UserError


def _aside(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


@contextlib.contextmanager
def _reporting(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"Could not write. Received: {path}: {reason}. Free some space or choose a folder that can be written to."
        ) from error


def flush_to_disk(path: pathlib.Path) -> None:
    """Makes what was written at `path` (a file or a folder's entries) survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: str | os.PathLike, content: bytes | str) -> None:
    """Writes a file so that `path` holds either what it held before or all of `content`.

    Raises:
        UserError: the disk is full or the folder is read-only.
    """
    path = pathlib.Path(path)
    data = content.encode() if isinstance(content, str) else content
    aside = _aside(path)
    with _reporting(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(aside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_written_atomically(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a folder to fill beside `path`, which becomes `path` at the end, or vanishes on an error.

    Raises:
        UserError: `path` exists, the disk is full or the parent is read-only.
    """
    path = pathlib.Path(path)
    if path.exists():
        raise UserError(f"The folder exists already. Received: {path}. Choose another name or remove it.")
    aside = _aside(path)
    with _reporting(path):
        try:
            aside.mkdir(parents=True)
            yield aside
            for file in aside.rglob("*"):
                flush_to_disk(file)
            os.rename(aside, path)
            flush_to_disk(path.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
