"""Sets rows of pictures and their captions on one sheet.

Small pictures are enlarged by a whole number, so that each of their pixels stays a square.
"""

import bisect
import dataclasses
import functools
from collections.abc import Sequence, Sized

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ssagan_tf.errors import UserError
from ssagan_tf.pictures.colors import heat_colors

TILE = 192  # pixels, about, of a small picture's longer side on a sheet
SMALL_TILE = 128  # where there are many in a row
_MARGIN = 16
_GAP = 8  # between pictures, and from a picture to its caption
_ROW_GAP = 18  # between what belongs to one caption and the next
_FONT_SIZE = 15
_LINE = 20
_MOST_LINES = 6
_BACKGROUND = (248, 247, 243)
_INK = (38, 38, 44)
_MOST_PIXELS = 100_000_000  # of a sheet or film; 300 MB in memory, twice while it is drawn


@dataclasses.dataclass(frozen=True)
class Row:
    tiles: Sequence[Image.Image]
    captions: Sequence[str]  # one for each tile, or a single one for the whole row


def compose(rows: Sequence[Row], header: Sequence[str] = (), key: bool = False) -> Image.Image:
    """Sets rows of tiles of one size, and text, on one picture."""
    sizes = {tile.size for row in rows for tile in row.tiles}
    if len(sizes) != 1:
        raise UserError(f"A sheet has pictures of one size. Received: sizes {sorted(sizes)}. Give one at least.")
    (width, height) = sizes.pop()
    columns = max(len(row.tiles) for row in rows)
    whole = columns * (width + _GAP) - _GAP
    texts = [[_wrapped(text, width if len(row.captions) > 1 else whole) for text in row.captions] for row in rows]
    depths = [height + _text_height(lines) for lines in texts]
    top = _MARGIN + _LINE * bool(header)
    size = whole + 2 * _MARGIN, top + sum(depths) + _ROW_GAP * (len(rows) - 1) + _LINE * key + _MARGIN
    check_size(size[0] * size[1])
    sheet = Image.new("RGB", size, _BACKGROUND)
    for column, text in enumerate(header):
        _write(sheet, [text], _MARGIN + column * (width + _GAP), _MARGIN - 6)
    for row, lines, depth in zip(rows, texts, depths, strict=True):
        for column, tile in enumerate(row.tiles):
            sheet.paste(tile, (_MARGIN + column * (width + _GAP), top))
        for column, part in enumerate(lines):
            _write(sheet, part, _MARGIN + column * (width + _GAP), top + height + _GAP)
        top += depth + _ROW_GAP
    if key:
        _draw_key(sheet, top - _ROW_GAP + _GAP)
    return sheet


def check_pictures(pictures: np.ndarray, tile: int = 1) -> np.ndarray:
    """Pictures that can be shown with a longer side of `tile` pixels."""
    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.size == 0:
        raise UserError(f"These are no pictures. Received: {pictures.dtype} {pictures.shape}. Give uint8 (B, H, W, 3).")
    count, height, width = pictures.shape[:3]
    check_size(count * height * width * _factor((height, width), tile) ** 2)
    return pictures


def check_size(pixels: int) -> None:
    if pixels > _MOST_PIXELS:
        raise UserError(f"That is too large. Received: {pixels:,} pixels. Draw at most {_MOST_PIXELS:,} at once.")


def check_count(what: str, given: Sized, count: int) -> None:
    if len(given) != count:
        raise UserError(f"There is one for each. Received: {len(given)} {what}, {count} wanted. Give as many.")


def tiles_of(pictures: np.ndarray, tile: int) -> list[Image.Image]:
    return [enlarge(Image.fromarray(picture), tile) for picture in check_pictures(pictures, tile)]


def enlarge(image: Image.Image, tile: int) -> Image.Image:
    factor = _factor(image.size, tile)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _factor(size: Sequence[int], tile: int) -> int:
    return max(1, round(tile / max(size)))


def _text_height(texts: Sequence[Sequence[str]]) -> int:
    most = max(map(len, texts))
    return _GAP + most * _LINE if most else 0


def _draw_key(sheet: Image.Image, top: int) -> None:
    """What the colours of a mask mean, along the lower edge."""
    _write(sheet, ["mask 0"], _MARGIN, top)
    left = _MARGIN + 60
    ramp = heat_colors(np.tile(np.linspace(0, 1, 110), (10, 1)))
    sheet.paste(Image.fromarray(np.rint(ramp).astype(np.uint8)), (left, top + 5))
    _write(sheet, ["1"], left + 118, top)


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)


def _write(sheet: Image.Image, lines: Sequence[str], left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        draw.text((left, top + index * _LINE), line, _INK, _font())


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` pixels; what does not fit on six ends with an ellipsis."""
    limit = _MOST_LINES * width  # characters; no more can be shown, and measuring them would take long
    words = (text if len(text) <= limit else text[:limit] + "…").split()
    lines = [""]
    for piece in (piece for word in words for piece in _pieces(word, width)):
        longer = f"{lines[-1]} {piece}".lstrip()
        if _font().getlength(longer) <= width:
            lines[-1] = longer
        elif len(lines) < _MOST_LINES:
            lines.append(piece)
        else:
            kept = _fitting(lines[-1], width - _font().getlength(" …"))
            return [*lines[:-1], lines[-1][:kept].rstrip() + " …"]
    return [line for line in lines if line]


def _pieces(word: str, width: int) -> list[str]:
    """A word in pieces of at most `width` pixels."""
    pieces = []
    while word:
        count = max(1, _fitting(word, width))
        pieces.append(word[:count])
        word = word[count:]
    return pieces


def _fitting(text: str, width: float) -> int:
    """How many of the first characters fit into `width` pixels."""
    return bisect.bisect_right(range(1, len(text) + 1), width, key=lambda count: _font().getlength(text[:count]))
