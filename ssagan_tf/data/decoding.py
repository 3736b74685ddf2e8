"""Pictures from outside: decoded in memory, bounded, upright, on white; refused in one line."""

from __future__ import annotations

import functools
import io
import os
import pathlib
import re
import warnings
import zlib

import numpy as np
from PIL import Image

from ssagan_tf.data.reading import read_bytes
from ssagan_tf.errors import UserError

MAX_PIXELS = 64 * 10**6
MAX_PICTURE_BYTES = 256 * 2**20

_USUAL = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
# These would start other programs, or are recognized but never decoded.
_NOT_DECODED = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG")
_PNG = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (_PNG, b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_APP_WITH_MEANING = (0xE0, 0xE1, 0xEE)  # density, Exif, Adobe's colours
_REPAIR = "Replace the file, or leave it out of the data set."
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_picture(path: str | os.PathLike) -> Image.Image:
    """Reads a picture of any usual kind as RGB, 8 bit, upright, transparency on white, the first of several.

    Raises:
        UserError: missing, empty, no picture, damaged, or of more than `MAX_PIXELS` (told from its header,
            before anything is decoded).
    """
    return decode_picture(read_bytes(pathlib.Path(path), MAX_PICTURE_BYTES), str(path))


def decode_picture(data: bytes, where: str) -> Image.Image:
    """As `load_picture`, from a file's bytes; errors name `where`."""
    if not data:
        raise UserError(f"The picture is empty (0 bytes). Received: {where}. {_REPAIR}")
    try:
        return _decode(data, where)
    except Image.DecompressionBombError as error:
        raise UserError(f"The picture claims more than {MAX_PIXELS:,} pixels. Received: {where}. {_REPAIR}") from error
    except Image.UnidentifiedImageError as error:
        kind, repair = "The file is no JPEG, PNG or other picture that Pillow decodes", _REPAIR
        if data[4:8] == b"ftyp":  # of a family of formats that the next four bytes tell apart
            cut = data[8:11] == b"avi" and "AVIF" in Image.OPEN
            kind, repair = ("The picture is damaged", _REPAIR) if cut else ("It is HEIC", "Convert it to JPEG.")
        raise UserError(f"{kind}. Received: {where}. {repair}") from error
    except Exception as error:  # What decoders raise on damaged files is no closed list.
        raise UserError(f"The picture is damaged. Received: {where}: {_one_line(error)}. {_REPAIR}") from error


def is_picture(name: str) -> bool:
    """Whether the ending of a file name, in either case, is one of a picture that `load_picture` reads."""
    return _ending(name) in _endings()


def looks_like_picture(path: pathlib.Path) -> bool:
    """Whether a file begins as pictures do, whatever its name."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(_SIGNATURES) or (start.startswith(b"RIFF") and start.endswith(b"WEBP"))


@functools.cache
def _endings() -> dict[str, str]:
    """The format of each ending that is read."""
    Image.init()
    known = Image.registered_extensions() | dict.fromkeys((".jif", ".jfi", ".pjp", ".pjpeg"), "JPEG")
    return {ending: kind for ending, kind in known.items() if kind in Image.OPEN and kind not in _NOT_DECODED}


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _formats(where: str) -> list[str]:
    """What a file may be: whatever its name, a usual format, which its content tells; a rare one by its ending, too."""
    own = _endings().get(_ending(where))
    return [kind for kind in dict.fromkeys([*_USUAL, own]) if kind in Image.OPEN]


def _decode(data: bytes, where: str) -> Image.Image:
    _silence_pillow()
    try:
        return _decode_as_it_is(data, where)
    except Image.DecompressionBombError:
        raise
    except Exception:
        # Damaged or odd metadata is no reason to refuse a picture.
        bare = _without_metadata(data)
        if bare == data:
            raise
        return _decode_as_it_is(bare, where)


def _decode_as_it_is(data: bytes, where: str) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=_formats(where)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        image.load()
        upright = _upright(_to_rgb(image), _orientation(image))
    upright.info.clear()  # Else colour profiles and the like would be written on with every copy.
    return upright


def _without_metadata(data: bytes) -> bytes:
    """A PNG or JPEG without what says nothing of its pixels: text, profiles, comments; orientation stays."""
    if data.startswith(_PNG):
        return _bare_png(data)
    return _bare_jpeg(data) if data.startswith(b"\xff\xd8") else data


def _bare_png(data: bytes) -> bytes:
    parts, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        chunk = data[place : place + 12 + length]
        whole = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])
        if kind[:1].isupper() or kind == b"tRNS" or (kind == b"eXIf" and whole):  # critical ones have a capital
            parts.append(chunk)
        place += 12 + length
    return b"".join(parts)


def _bare_jpeg(data: bytes) -> bytes:
    parts, place = [data[:2]], 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":  # until the pixels begin
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        marker = data[place + 1]
        kept = marker in _APP_WITH_MEANING or not (0xE0 <= marker <= 0xEF or marker == 0xFE)
        parts += [data[place:end]] if kept else []
        place = max(end, place + 4)
    return b"".join([*parts, data[place:]])


def _silence_pillow() -> None:
    """Our own errors say all; Pillow's warnings (large pictures, odd metadata) would be noise beside them."""
    ours = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    if ours not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise ValueError("its pixels are 32-bit numbers, of which nothing says what is white")
    if image.mode.startswith("I"):
        # 16 bit grey: Pillow's own conversion clips at 255 instead of scaling.
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        if isinstance(clear := image.info.get("transparency"), int):
            grey[grey == clear] = 65535
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Damaged metadata is no reason to refuse a good picture.
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    transpose = _UPRIGHT.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
