"""Caches features of pictures in files and reads them block by block, in constant memory."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ssagan_tf.core import files
from ssagan_tf.core.progress import Bar
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.extractors import Extractor, embed

_ABOUT, _FEATURES, _LOGITS = "about.json", "features.npy", "logits.npy"


class Embedded(NamedTuple):
    """Features of a set of pictures.

    Attributes:
        features: float32 (N, D), memory-mapped.
        logits: float32 (N, classes), memory-mapped, or None.
        pictures_sha256: of the pictures' SHA-256s, sorted: the same in any order.
    """

    features: np.ndarray
    logits: np.ndarray | None
    pictures_sha256: str


def embedded(
    folder: pathlib.Path,
    key: dict,
    extractor: Extractor,
    resize: str,
    pictures: Iterable[np.ndarray],
    count: int,
    unit: str,
) -> Embedded:
    """Features of `count` pictures, from `folder` if they were kept there, else made and kept.

    Args:
        folder: where features are kept, each set in a folder named after what it was made from.
        key: what the pictures follow from; extractor and filter are added to it.
        extractor: see `features.open_extractor`.
        resize: one of `resizing.FILTERS`.
        pictures: uint8 arrays (n, S, S, 3).
        count: how many there are.
        unit: what the progress bar calls them.

    Raises:
        UserError: the folder cannot be written.
    """
    input_rule = f"{extractor.image_size} {extractor.value_range}"
    whole_key = {**key, "extractor": extractor.sha256, "input": input_rule, "resize": resize}
    path = folder / hashlib.sha256(json.dumps(whole_key, sort_keys=True).encode()).hexdigest()[:16]
    if not _whole(path):
        with files.folder_written_atomically(path, as_good=_whole) as aside:
            hashes: list[bytes] = []
            _write(aside, embed(extractor, resize, _hashing(pictures, hashes)), count, unit)
            digest = hashlib.sha256(b"".join(sorted(hashes))).hexdigest()
            about = {**whole_key, "count": count, "pictures_sha256": digest, "files": _hashes(aside)}
            files.write_atomically(aside / _ABOUT, json.dumps(about, indent=2) + "\n")
    features = np.load(path / _FEATURES, mmap_mode="r")
    logits = np.load(path / _LOGITS, mmap_mode="r") if (path / _LOGITS).exists() else None
    return Embedded(features, logits, json.loads((path / _ABOUT).read_text(encoding="utf-8"))["pictures_sha256"])


def _whole(path: pathlib.Path) -> bool:
    """Whether a folder holds just what was once written to it."""
    try:
        about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        return "pictures_sha256" in about and about["files"] == _hashes(path)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _hashes(path: pathlib.Path) -> dict[str, str]:
    return {file.name: files.sha256(file) for file in (path / _FEATURES, path / _LOGITS) if file.exists()}


def _hashing(pictures: Iterable[np.ndarray], hashes: list[bytes]) -> Iterable[np.ndarray]:
    for part in pictures:
        hashes += [hashlib.sha256(picture.tobytes()).digest() for picture in part]
        yield part


def _write(
    folder: pathlib.Path, batches: Iterable[tuple[np.ndarray, np.ndarray | None]], count: int, unit: str
) -> None:
    arrays: dict[str, np.memmap] = {}
    done = 0
    with Bar(count, unit) as bar:
        for batch in batches:
            for name, values in zip((_FEATURES, _LOGITS), batch, strict=True):
                if values is None:
                    continue
                if name not in arrays:
                    shape = (count, values.shape[1])
                    arrays[name] = np.lib.format.open_memmap(folder / name, "w+", np.float32, shape)
                arrays[name][done : done + len(values)] = values
            done += len(batch[0])
            for _ in batch[0]:
                bar.step()
    if done != count:
        raise UserError(f"Pictures are missing. Received: {done:,} of {count:,}. Remove the folder and start anew.")
    for array in arrays.values():
        array.flush()
