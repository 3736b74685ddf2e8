"""Pictures that look alike: a perceptual hash finds candidates, small copies decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image

_SIDE, _LOW, _THUMB = 32, 8, 8
_BITS, _BANDS = _LOW * _LOW, 8
_FURTHEST = _BANDS - 1  # bits: two hashes that differ in fewer than there are bands have one band in common
_DIFFERENCE = 8.0  # of 255, mean over the small copies
_COSINES = np.cos(np.pi / _SIDE * np.outer(np.arange(_LOW), np.arange(_SIDE) + 0.5))


@dataclasses.dataclass(frozen=True)
class Looks:
    """What is kept of a picture: `bits`, 64 of them, and `thumb`, 8 x 8 pixels RGB."""

    bits: bytes
    thumb: bytes


def looks_of(picture: Image.Image) -> Looks:
    """Of an RGB picture. The hash is pHash's: which low frequencies of the grey picture are above their median."""
    grey = np.asarray(picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), np.float64)
    frequencies = (_COSINES @ grey @ _COSINES.T).ravel()
    above = frequencies > np.median(frequencies[1:])  # the first is the brightness
    thumb = picture.resize((_THUMB, _THUMB), Image.Resampling.BOX)
    return Looks(np.packbits(above).tobytes(), thumb.tobytes())


def alike(looks: Sequence[Looks]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of pictures that look alike: each later one with the first that it is like."""
    if len(looks) < 2:
        return []
    bits = np.frombuffer(b"".join(each.bits for each in looks), np.uint8).reshape(-1, _BITS // 8)
    thumbs = np.frombuffer(b"".join(each.thumb for each in looks), np.uint8).reshape(len(looks), -1)
    first: dict[int, int] = {}
    for band in bits.T:
        order = np.argsort(band, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            for place, one in enumerate(group[:-1]):
                others = group[place + 1 :]
                near = np.unpackbits(bits[others] ^ bits[one], axis=1).sum(1) <= _FURTHEST
                others = others[near]
                difference = np.abs(thumbs[others].astype(np.int16) - thumbs[one].astype(np.int16)).mean(1)
                for other in others[difference <= _DIFFERENCE]:
                    first[int(other)] = min(first.get(int(other), int(one)), int(one))
    return sorted((one, other) for other, one in first.items())
