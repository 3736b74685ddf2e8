"""Masks as colors, by themselves and laid over pictures."""

import numpy as np
from PIL import Image

from ssagan_tf.errors import UserError
from ssagan_tf.pictures.colors import heat_colors
from ssagan_tf.pictures.layout import check_pictures

_HEAT = np.float32(0.7)  # how much of an overlay is colour; the rest is the picture in grey
_GREY = np.array((0.299, 0.587, 0.114), np.float32)


def mask_overlay(picture: np.ndarray, mask: np.ndarray) -> Image.Image:
    """A picture in grey with a mask's heat over it, from dark violet, 0, to pale yellow, 1.

    Args:
        picture: uint8 (H, W, 3).
        mask: float (h, w) or (h, w, 1) in [0, 1], at most as large as the picture; its cells are shown as squares.

    Returns:
        (H, W).

    Raises:
        UserError: not of that kind.
    """
    picture = check_pictures(np.asarray(picture)[None])[0]
    height, width = picture.shape[:2]
    heat = heat_colors(_enlarged_mask(mask, height, width))
    grey = (picture @ _GREY)[..., None]
    return Image.fromarray(np.rint(heat * _HEAT + grey * (1 - _HEAT)).astype(np.uint8))


def heat_map(values: np.ndarray) -> np.ndarray:
    """Values in the colours of a mask: float (H, W) in [0, 1] -> uint8 (H, W, 3)."""
    return np.rint(heat_colors(_enlarged_mask(values, *values.shape[:2]))).astype(np.uint8)


def _enlarged_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """float (h, w) or (h, w, 1) -> float32 (height, width)."""
    mask = np.asarray(mask, np.float32)
    cells = mask[..., 0] if mask.ndim == 3 and mask.shape[-1] == 1 else mask
    if cells.ndim != 2 or not (1 <= cells.shape[0] <= height and 1 <= cells.shape[1] <= width):
        raise UserError(
            f"This is no mask. Received: {mask.shape} for a picture of {(height, width)}. Give (h, w, 1), no larger."
        )
    if not (cells.min() >= 0 and cells.max() <= 1):
        raise UserError(f"A mask lies in [0, 1]. Received: {cells.min()} to {cells.max()}. Apply the sigmoid.")
    return np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.NEAREST))
