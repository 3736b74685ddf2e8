"""Pictures as PNG and GIF files."""

import io
import os

import numpy as np
from PIL import Image

from ssagan_tf.core import files
from ssagan_tf.errors import UserError
from ssagan_tf.pictures.layout import TILE, check_pictures, enlarge

_SHORTEST_FRAME, _LONGEST_FRAME = 20, 60_000  # milliseconds; browsers show what is shorter slowly


def png_bytes(image: Image.Image | np.ndarray) -> bytes:
    """A picture, or an array of one, uint8 (H, W, 3), as a PNG file."""
    return encode(image if isinstance(image, Image.Image) else Image.fromarray(image), format="PNG")


def save_png(image: Image.Image | np.ndarray, path: str | os.PathLike) -> None:
    """Writes a PNG file, whole or not at all. Raises UserError where it cannot be written."""
    files.write_atomically(path, png_bytes(image))


def gif_bytes(frames: np.ndarray, milliseconds: int = 100) -> bytes:
    """A film as a GIF file that begins anew at its end.

    Args:
        frames: uint8 (B, H, W, 3); small ones are enlarged. A frame has a palette of its own and is not dithered,
            as dither flickers.
        milliseconds: of a frame; shorter ones than 20 take 20.

    Raises:
        UserError: no frames, or not of that kind; a frame takes no time, or more than a minute.
    """
    if not 0 < milliseconds <= _LONGEST_FRAME:
        raise UserError(f"A film needs time. Received: {milliseconds} milliseconds a frame. Use 1 to {_LONGEST_FRAME}.")
    images = map(Image.fromarray, check_pictures(frames, TILE))
    palettes = (image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for image in images)
    first, *rest = (enlarge(image, TILE) for image in palettes)
    duration = max(_SHORTEST_FRAME, int(milliseconds))
    return encode(first, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)


def encode(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()
