"""What every data set gives, and how files from outside are read: bounded, checked, refused in one line."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import re
import typing
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from ssagan_tf.errors import UserError
from ssagan_tf.text.tokenizer import tokenize

if typing.TYPE_CHECKING:
    from ssagan_tf.text.vocabulary import Vocabulary

SPLITS = ("train", "test")
DRAWN = ("synthbirds",)  # sources that draw their pictures at the size asked for
MAX_ASPECT = 8
MAX_PIXELS = 64 * 10**6
MAX_PICTURE_BYTES = 256 * 2**20
MAX_CAPTION_CHARACTERS = 10_000
MAX_CAPTION_FILE_BYTES = 2**20

# Formats that Pillow decodes by itself; others would start other programs (EPS) or are no pictures.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_LONGEST_PATH = 2048  # bytes; with the folder's own path before it, file systems take twice as many
_REPAIR = "Replace the file, or leave it out of the data set."
_NAMED = 3  # of many things, in a message
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


@dataclasses.dataclass(frozen=True)
class Example:
    """One picture of a data set with everything said about it.

    Attributes:
        key: unique and stable within the data set, e.g. "001.Albatross/Albatross_0046_18".
        captions: raw text; at least one, none without a word.
        class_id: -1 where the source has no classes.
        load: gives the picture, RGB, cropped as the data set's rule says, not yet resized; raises UserError.
        wordless: how many captions were left out because there is no word in them.
    """

    key: str
    captions: tuple[str, ...]
    class_id: int
    load: Callable[[], Image.Image]
    wordless: int = 0


class Source(typing.Protocol):
    """A data set of captioned pictures."""

    name: str

    def examples(self, split: str) -> Sequence[Example]:
        """The examples of "train" or "test", in a stable order; lists only, decodes nothing.

        Raises:
            UserError: the folder is not this data set's layout, or something in it is broken.
        """

    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary that came with the data, or None (then it is built from the training captions)."""


def check_split(split: str) -> None:
    """Raises UserError unless `split` is one of `SPLITS`."""
    if split not in SPLITS:
        raise UserError(f"There is no such split. Received: {split!r}. Use one of {', '.join(SPLITS)}.")


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
    _silence_pillow()
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
            upright = _upright(_to_rgb(image), _orientation(image))
    except Image.DecompressionBombError as error:
        raise UserError(f"The picture claims more than {MAX_PIXELS:,} pixels. Received: {where}. {_REPAIR}") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(f"The file is no JPEG, PNG, WebP, GIF or BMP. Received: {where}. {_REPAIR}") from error
    except Exception as error:  # What decoders raise on damaged files is no closed list.
        raise UserError(f"The picture is damaged. Received: {where}: {_one_line(error)}. {_REPAIR}") from error
    upright.info.clear()  # Else colour profiles and the like would be written on with every copy.
    return upright


def read_captions(path: str | os.PathLike) -> tuple[str, ...]:
    """Reads captions, one a line, as UTF-8 (UTF-16 with a byte order mark); invalid bytes become U+FFFD.

    Blank lines and lines without a word are left out, as published.

    Raises:
        UserError: missing, too large, a line over `MAX_CAPTION_CHARACTERS`, or no caption left.
    """
    return clean_captions(read_lines(pathlib.Path(path)), str(path))


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
    """Bytes of a file. Raises UserError if it cannot be read or is larger than `max_bytes`."""
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"A file could not be read. Received: {path}: {reason}. Check its path.") from error
    if len(data) > max_bytes:
        raise UserError(f"The file is too large. Received: {path}. Use one of at most {max_bytes:,} bytes.")
    return data


def clean_captions(texts: Sequence[str], where: str) -> tuple[str, ...]:
    """Captions that have a word in them, without NULs and outer white space.

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
        if tokenize(caption):
            captions.append(caption)
    if not captions:
        raise UserError(f"There is no caption with a word in it. Received: {where}. Write one with ASCII letters.")
    return tuple(captions)


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


def some(items: Sequence[str]) -> str:
    """The first few of many, in one line."""
    more = f" and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
    return "; ".join(items[:_NAMED]) + more


def refuse_missing(missing: Sequence[str], folder: pathlib.Path) -> None:
    """Raises UserError if any picture (named by its key) is missing."""
    if missing:
        raise UserError(
            f"Pictures are missing ({len(missing):,}). Received: {some(missing)}, in {folder}. "
            "Put them there, or leave them out with `prepare_data.py --skip_broken`."
        )


def _silence_pillow() -> None:
    """Our own errors say all; Pillow's warnings (large pictures, odd metadata) would be noise beside them."""
    ours = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    if ours not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bit grey: Pillow's own conversion clips at 255 instead of scaling.
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
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


def working_size(source_name: str, image_size: int) -> int:
    """Short side at which pictures are kept: int(image_size * 76 / 64) as published, room for random crops.

    Drawn pictures come at exactly the right size and are not cropped.
    """
    return image_size if source_name in DRAWN else int(image_size * 76 / 64)


def resize_short_side(image: Image.Image, target: int) -> Image.Image:
    """Makes the short side `target` and the long one int(target * long / short), bilinear with antialiasing.

    That is torchvision's `Resize(int)`. Of a picture more than `MAX_ASPECT` times as long as wide only the
    middle is taken, since a strip of one pixel's width would grow without bound.
    """
    width, height = image.size
    limit = MAX_ASPECT * min(width, height)
    if max(width, height) > limit:
        left, top = max(0, (width - limit) // 2), max(0, (height - limit) // 2)
        image = image.crop((left, top, left + min(width, limit), top + min(height, limit)))
        width, height = image.size
    if width <= height:
        size = (target, int(target * height / width))
    else:
        size = (int(target * width / height), target)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)
