"""Resizes pictures to a feature extractor's input size, as each protocol does. The filter moves FID by whole points.

Each takes uint8 (N, H, W, 3) and a size and gives float32 (N, size, size, 3) in [0, 255].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from ssagan_tf.errors import UserError

_PUBLISHED_SIZE = 128  # to which the published script for the Inception Score brings pictures first


def tf1_bilinear(pictures: np.ndarray, size: int) -> np.ndarray:
    """TensorFlow 1's `resize_bilinear`, which TTUR's graph holds: corners instead of half-pixel centres, no
    antialiasing. Output pixel i is taken at i * (input size / output size)."""
    x = _checked(pictures).astype(np.float32)
    for axis in (2, 1):  # columns first, as TensorFlow does, so that even the rounding is the same
        position = np.arange(size, dtype=np.float32) * np.float32(x.shape[axis] / size)
        low = position.astype(int)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        weight = (position - low.astype(np.float32)).reshape([-1] + [1] * (3 - axis))
        first, second = x.take(low, axis), x.take(high, axis)
        x = first + (second - first) * weight
    return x


def pillow_bicubic(pictures: np.ndarray, size: int) -> np.ndarray:
    """Pillow's bicubic filter with antialiasing on float32 channels, clipped: that of clean-fid (Parmar et al., CVPR
    2022)."""
    return np.clip(_by_channel(pictures, size, Image.Resampling.BICUBIC), 0, 255)


def pillow_bilinear(pictures: np.ndarray, size: int) -> np.ndarray:
    """Pillow's bilinear filter with antialiasing in 8 bits."""
    shape = [size, size]
    resized = [np.asarray(Image.fromarray(p).resize(shape, Image.Resampling.BILINEAR)) for p in _checked(pictures)]
    return np.array(resized, np.float32).reshape(-1, size, size, 3)


def published_for_inception_score(pictures: np.ndarray, size: int) -> np.ndarray:
    """What the published `IS.py` does: SciPy's `imresize`, which was Pillow's bilinear filter in 8 bits, to 128
    pixels; then TensorFlow 1's bilinear in the graph."""
    return tf1_bilinear(pillow_bilinear(pictures, _PUBLISHED_SIZE).astype(np.uint8), size)


FILTERS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "tf1_bilinear": tf1_bilinear,
    "pillow_bicubic": pillow_bicubic,
    "pillow_bilinear": pillow_bilinear,
    "published_for_inception_score": published_for_inception_score,
}


def _by_channel(pictures: np.ndarray, size: int, resampling: Image.Resampling) -> np.ndarray:
    resized = np.empty([len(_checked(pictures)), size, size, 3], np.float32)
    for picture, place in zip(pictures, resized, strict=True):
        for channel in range(3):
            band = Image.fromarray(picture[..., channel].astype(np.float32))
            place[..., channel] = np.asarray(band.resize([size, size], resampling))
    return resized


def _checked(pictures: np.ndarray) -> np.ndarray:
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.dtype != np.uint8:
        received = f"{pictures.dtype} {pictures.shape}"
        raise UserError(f"These are no pictures. Received: {received}. Give uint8 (N, height, width, 3).")
    return pictures
