"""Numbered versions of an exported model, `NAME/1`, `NAME/2`, ..., as TensorFlow Serving has them."""

import pathlib

SAVED_MODEL_FILE = "saved_model.pb"


def next_version(out: pathlib.Path) -> pathlib.Path:
    """The folder of the version after the largest there is."""
    taken = [int(path.name) for path in out.glob("*") if path.name.isdecimal()]
    return out / str(max(taken, default=0) + 1)


def newest_version(out: pathlib.Path) -> pathlib.Path | None:
    """The newest version with a SavedModel, or None if there is none."""
    versions = [path for path in out.glob("*") if path.name.isdecimal() and (path / SAVED_MODEL_FILE).is_file()]
    return max(versions, key=lambda path: int(path.name), default=None)
