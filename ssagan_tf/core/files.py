"""Paths of bundled files, and atomic writes: to a temporary file, flushed, then renamed."""

import contextlib
import errno
import fcntl
import glob
import hashlib
import importlib.resources
import os
import pathlib
import re
import shutil
import socket
import stat
import typing
import uuid
from collections.abc import Callable, Iterator

from ssagan_tf.errors import UserError

_PACKAGE = pathlib.Path(str(importlib.resources.files("ssagan_tf"))).resolve()
# Models that come with the package: within it where it is installed, beside it in a checkout.
SAVED_MODELS = _PACKAGE / "saved_models" if (_PACKAGE / "saved_models").is_dir() else _PACKAGE.parent / "saved_models"
BUNDLED_MODEL = SAVED_MODELS / "synthbirds-64"  # small, of rendered birds
TERMS_FILE = "terms.txt"  # of a model folder: the terms of the data that the model was trained on
LOCK = ".lock"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_THERE = {errno.ENOTEMPTY, errno.EEXIST}
_TRIES = 5  # to put a folder in place of a damaged one


def user_path(text: str, schemes: tuple[str, ...] = ()) -> str:
    """A path as a user writes it, with the home folder in place of "~".

    Args:
        text: the path.
        schemes: those that it may begin with: "hf" of "hf://OWNER/NAME".

    Raises:
        UserError: another scheme or an unknown user, which would become folders of that name; or nothing.
    """
    scheme, colon, _ = text.partition("://")
    if colon and scheme in schemes:
        return text
    if colon and re.fullmatch("[A-Za-z][A-Za-z0-9+.-]*", scheme):
        known = f" or {', '.join(f'{each}://' for each in schemes)}" if schemes else ""
        raise UserError(f"Addresses of this kind are not read or written. Received: {text}. Use a local path{known}.")
    if not text:
        raise UserError("A path is empty. Received: ''. Name a file or a folder.")
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise UserError(f"There is no such user. Received: {text}. Write ./{text} if it is the name of a file.")
    return path


def _aside(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


@contextlib.contextmanager
def _reporting(path: pathlib.Path, only: pathlib.Path | None = None) -> Iterator[None]:
    """Says of `path` what went wrong; leaves alone what went wrong with files outside of `only`."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if (
            only is not None
            and isinstance(error.filename, str)
            and not pathlib.Path(error.filename).is_relative_to(only)
        ):
            raise
        reason = error.strerror or str(error)
        what_to_do = "Free some space" if error.errno in _FULL else "Choose a folder that can be written to"
        raise UserError(f"Could not write. Received: {path}: {reason}. {what_to_do}.") from error
    except Exception as error:  # TensorFlow writes by itself, and has errors of its own.
        reason = next((text for text in map(os.strerror, _FULL) if text in str(error)), "")
        if not reason:
            raise
        raise UserError(f"Could not write. Received: {path}: {reason}. Free some space.") from error


def inside(folder: str | os.PathLike, name: str) -> pathlib.Path:
    """`folder/name`, if no link leads out of the folder; into the `blobs` of a Hugging Face cache they may.

    Raises:
        UserError: one does.
    """
    root = pathlib.Path(folder).resolve()
    path = pathlib.Path(folder) / name
    roots = [root, root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [root]
    if not any(path.resolve().is_relative_to(each) for each in roots):
        raise UserError(
            f"A link leads out of the folder. Received: {path}, linked to {path.resolve()}. "
            "Copy the file into the folder."
        )
    return path


def read_regular(path: str | os.PathLike, most: int) -> bytes:
    """The content of a file.

    Raises:
        OSError: it cannot be read, has more than `most` bytes, or is a pipe, a device or the like.
    """
    with open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:  # a pipe would wait
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if about.st_size > most:
            raise OSError(errno.EFBIG, f"it is too large, at most {most:,} bytes are read", str(path))
        return file.read(most)


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
        UserError: `path` is a folder, the disk is full or the folder is read-only.
    """
    path = pathlib.Path(path)
    data = content.encode() if isinstance(content, str) else content
    with _reporting(path):
        if path.is_dir():
            raise UserError(f"This is a folder. Received: {path}. Name a file to write.")
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = _aside(path)
        try:
            with open(aside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
            flush_to_disk(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def append(path: str | os.PathLike, text: str) -> None:
    """Adds text to the end of a file. Raises UserError as `write_atomically`."""
    with _reporting(pathlib.Path(path)), open(path, "a", encoding="utf-8") as file:
        file.write(text)


def _put(filled: pathlib.Path, path: pathlib.Path, as_good: Callable[[pathlib.Path], bool] | None) -> None:
    """Renames a folder, to where one of another process may have appeared."""
    for _ in range(_TRIES):
        try:
            os.rename(filled, path)
            return
        except OSError as error:
            if as_good is None or error.errno not in _THERE:
                raise
        if as_good(path):
            return
        damaged = _aside(path)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.rename(path, damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    os.rename(filled, path)


@contextlib.contextmanager
def folder_written_atomically(
    path: str | os.PathLike,
    same_name: bool = False,
    replace: bool = False,
    as_good: Callable[[pathlib.Path], bool] | None = None,
) -> Iterator[pathlib.Path]:
    """Gives a folder to fill beside `path`, which becomes `path` at the end, or vanishes on an error.

    What a killed process left behind while it filled such a folder is removed.

    Args:
        path: the folder.
        same_name: whether the one to fill, which is not made then, has its name, where that goes into the files.
        replace: whether `path` may be there already; then it is another one from one moment to the next.
        as_good: of files that follow from `path`, says whether a folder that is there in the end, perhaps of another
            process, holds them: then it stays and ours vanishes; else ours takes its place.

    Raises:
        UserError: `path` exists and is not to be replaced, the disk is full or the parent is read-only.
    """
    path = pathlib.Path(path)
    with _reporting(path):
        if path.exists() and not ((replace or as_good is not None) and path.is_dir()):
            raise UserError(f"The folder exists already. Received: {path}. Choose another name or remove it.")
        _remove_abandoned(path)
        aside, lock = _locked_aside(path)
        filled = aside / path.name if same_name else aside
    try:
        with _reporting(path, only=aside):
            yield filled
        with _reporting(path):
            for file in filled.rglob("*"):
                flush_to_disk(file)
            flush_to_disk(filled)
            if replace and path.exists():
                os.rename(path, _aside(path))
            _put(filled, path, as_good)
            flush_to_disk(path.parent)
    finally:
        os.close(lock)
        shutil.rmtree(aside, ignore_errors=True)
    if replace:
        _remove_abandoned(path)  # what was there before


def _locked_aside(path: pathlib.Path) -> tuple[pathlib.Path, int]:
    """A new folder beside `path`, and the descriptor that locks it until it is closed or the process ends."""
    for _ in range(_TRIES):
        aside = _aside(path)
        aside.mkdir(parents=True)
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(aside, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # another process took it for abandoned, and removes it
                os.close(descriptor)
                continue
            except OSError:  # no locks here, so nobody removes it
                return aside, descriptor
            if aside.is_dir():
                return aside, descriptor
            os.close(descriptor)  # was removed before it was locked
    raise OSError(errno.EAGAIN, "other processes remove what is being written", str(aside))


def _remove_abandoned(path: pathlib.Path) -> None:
    """Removes folders for `path` that nobody fills any more."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}.????????.partial"):
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def folder_locked(folder: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from writing to a folder, which is made if need be, as long as this one lives.

    The lock is the system's, on a file that names host and process: it is gone with the process, however that ends.
    Where a file system has no locks, nothing is kept from anybody.

    Raises:
        UserError: another process has it.
    """
    with _reporting(folder):
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        file = _lock(folder)
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # before it is let go: nobody may wait for a file that vanishes
        file.close()
        if new:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


def _lock(folder: pathlib.Path) -> typing.TextIO:
    while True:
        file = open(folder / LOCK, "a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise UserError(
                f"Another process works in this folder. Received: {folder}, in use by {holder}. "
                "Wait until it has ended, or choose another folder."
            ) from error
        except OSError:  # no locks here
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / LOCK)):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
                file.flush()
                return file
        file.close()  # was removed meanwhile by the process that had it


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
