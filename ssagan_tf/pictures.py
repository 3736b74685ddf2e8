"""Pictures for people: sheets with captions under the pictures, masks laid over them, strips and films.

Pictures are uint8 (B, H, W, 3) arrays; sheets are RGB `PIL.Image.Image`s. Small pictures are enlarged by a whole
number, so that each of their pixels stays a square.
"""

import bisect
import dataclasses
import functools
import io
import math
import os
from collections.abc import Sequence, Sized

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ssagan_tf import files
from ssagan_tf.errors import UserError

_TILE = 192  # pixels, about, of a small picture's longer side on a sheet
_SMALL_TILE = 128  # where there are many in a row
_MARGIN = 16
_GAP = 8  # between pictures, and from a picture to its caption
_ROW_GAP = 18  # between what belongs to one caption and the next
_FONT_SIZE = 15
_LINE = 20
_MOST_LINES = 6
_BACKGROUND = (248, 247, 243)
_INK = (38, 38, 44)
_STRIP_COLUMNS = 12
_MOST_PIXELS = 100_000_000  # of a sheet or film; 300 MB in memory, twice while it is drawn
_SHORTEST_FRAME, _LONGEST_FRAME = 20, 60_000  # milliseconds; browsers show what is shorter slowly

# Colours of a mask from 0 to 1: hue from violet to yellow while lightness (L of OKLab) grows evenly.
_RAMP = np.array(
    [
        (13, 1, 49),
        (52, 3, 83),
        (102, 6, 101),
        (156, 13, 101),
        (204, 45, 84),
        (241, 89, 53),
        (252, 146, 58),
        (254, 199, 109),
        (254, 244, 179),
    ],
    np.float32,
)
_HEAT = np.float32(0.7)  # how much of an overlay is colour; the rest is the picture in grey
_GREY = np.array((0.299, 0.587, 0.114), np.float32)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Pictures in 8 bits by the published rule `(x + 1) * 127.5`, truncated; what lies outside [-1, 1] is clipped.

    Args:
        images: float, any shape, in [-1, 1].

    Returns:
        uint8 of the same shape.

    Raises:
        UserError: there are values that are no numbers.
    """
    images = np.asarray(images, np.float32)
    if np.isnan(images).any():
        raise UserError(
            "Pictures have no colours. Received: values that are not numbers. "
            "The model has diverged: use an earlier checkpoint."
        )
    return ((np.clip(images, -1.0, 1.0) + np.float32(1.0)) * np.float32(127.5)).astype(np.uint8)


def png_bytes(image: Image.Image | np.ndarray) -> bytes:
    """A picture, or an array of one, uint8 (H, W, 3), as a PNG file."""
    return _encoded(image if isinstance(image, Image.Image) else Image.fromarray(image), format="PNG")


def save_png(image: Image.Image | np.ndarray, path: str | os.PathLike) -> None:
    """Writes a PNG file, whole or not at all. Raises UserError where it cannot be written."""
    files.write_atomically(path, png_bytes(image))


def grid(
    pictures: np.ndarray, columns: int | None = None, titles: Sequence[str] | None = None, tile: int = _TILE
) -> Image.Image:
    """A sheet of pictures.

    Args:
        pictures: uint8 (B, H, W, 3).
        columns: by default about as many as there are rows.
        titles: one for each picture, written under it.
        tile: pixels, about, to which the longer side of a small picture is enlarged; larger pictures are left alone.

    Raises:
        UserError: no pictures, or not of that kind; as many titles as pictures are wanted, and a column at least.
    """
    tiles = _tiles(pictures, tile)
    if titles is None:
        titles = [""] * len(tiles)
    _same_count("titles", titles, len(tiles))
    if columns is None:
        columns = _good_columns(len(tiles))
    if columns < 1:
        raise UserError(f"A sheet has columns. Received: columns={columns}. Use 1 or more.")
    starts = range(0, len(tiles), columns)
    return _sheet([_Row(tiles[start : start + columns], titles[start : start + columns]) for start in starts])


def caption_grid(rows: Sequence[tuple[str, np.ndarray]], header: Sequence[str] = (), key: bool = False) -> Image.Image:
    """A sheet with a row of pictures, such as of several seeds, for each caption, which is written under them.

    Args:
        rows: captions, each with uint8 (B, H, W, 3); H and W are the same in all rows.
        header: over each column.
        key: whether to show what the colours of masks mean.

    Raises:
        UserError: no rows, or not of that kind.
    """
    return _sheet([_Row(_tiles(pictures, _TILE), [caption]) for caption, pictures in rows], header, key)


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
    picture = _checked(np.asarray(picture)[None])[0]
    height, width = picture.shape[:2]
    heat = _heat(_enlarged_mask(mask, height, width))
    grey = (picture @ _GREY)[..., None]
    return Image.fromarray(np.rint(heat * _HEAT + grey * (1 - _HEAT)).astype(np.uint8))


def heat_map(values: np.ndarray) -> np.ndarray:
    """Values in the colours of a mask: float (H, W) in [0, 1] -> uint8 (H, W, 3)."""
    return np.rint(_heat(_enlarged_mask(values, *values.shape[:2]))).astype(np.uint8)


def mask_sheet(pictures: np.ndarray, masks: Sequence[np.ndarray], titles: Sequence[str] | None = None) -> Image.Image:
    """A sheet with a row for each picture: the picture, then each stage's mask over it.

    Args:
        pictures: uint8 (B, H, W, 3).
        masks: of each stage, 4x4 first: float (B, h, w, 1) in [0, 1].
        titles: one for each picture, written under its row.

    Raises:
        UserError: not of that kind, or not as many of each as there are pictures.
    """
    pictures = _checked(pictures)
    if titles is None:
        titles = [""] * len(pictures)
    _same_count("titles", titles, len(pictures))
    for stage in masks:
        _same_count("masks of a stage", stage, len(pictures))
    rows = []
    for index, picture in enumerate(pictures):
        overlays = [np.asarray(mask_overlay(picture, stage[index])) for stage in masks]
        rows.append(_Row(_tiles(np.stack([picture, *overlays]), _TILE), [titles[index]]))
    header = ["picture", *(f"{stage.shape[1]}x{stage.shape[2]}" for stage in masks)]
    return _sheet(rows, header, key=True)


def attention_sheet(
    pictures: np.ndarray, captions: Sequence[str], words: Sequence[Sequence[str]], maps: Sequence[np.ndarray]
) -> Image.Image:
    """A sheet with a row for each picture: the picture above its caption, then where each word looks, above the word.

    Args:
        pictures: uint8 (B, H, W, 3).
        captions: one for each picture.
        words: of each caption.
        maps: of each caption, float (words, h, w), 0 or more; each is shown in parts of its own largest value.

    Raises:
        UserError: not of that kind, or not as many of each as there are pictures, or of words and maps.
    """
    pictures = _checked(pictures)
    for what, given in (("captions", captions), ("captions' words", words), ("captions' maps", maps)):
        _same_count(what, given, len(pictures))
    rows = []
    for picture, caption, said, seen in zip(pictures, captions, words, maps, strict=True):
        _same_count("maps of words", seen, len(said))
        overlays = [np.asarray(mask_overlay(picture, each / max(float(np.max(each)), 1e-12))) for each in seen]
        rows.append(_Row(_tiles(np.stack([picture, *overlays]), _SMALL_TILE), [caption, *said]))
    return _sheet(rows)


def strip(frames: np.ndarray) -> Image.Image:
    """Pictures side by side, such as those of an interpolation; very many go on in another row.

    Args:
        frames: uint8 (B, H, W, 3).

    Raises:
        UserError: no pictures, or not of that kind.
    """
    return grid(frames, columns=min(max(1, len(frames)), _STRIP_COLUMNS))


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
    images = map(Image.fromarray, _checked(frames, _TILE))
    palettes = (image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for image in images)
    first, *rest = (_enlarged(image, _TILE) for image in palettes)
    duration = max(_SHORTEST_FRAME, int(milliseconds))
    return _encoded(first, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)


def _encoded(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def _checked(pictures: np.ndarray, tile: int = 1) -> np.ndarray:
    """Pictures that can be shown with a longer side of `tile` pixels."""
    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.size == 0:
        raise UserError(f"These are no pictures. Received: {pictures.dtype} {pictures.shape}. Give uint8 (B, H, W, 3).")
    count, height, width = pictures.shape[:3]
    _bound(count * height * width * _factor((height, width), tile) ** 2)
    return pictures


def _bound(pixels: int) -> None:
    if pixels > _MOST_PIXELS:
        raise UserError(f"That is too large. Received: {pixels:,} pixels. Draw at most {_MOST_PIXELS:,} at once.")


def _same_count(what: str, given: Sized, count: int) -> None:
    if len(given) != count:
        raise UserError(f"There is one for each. Received: {len(given)} {what}, {count} wanted. Give as many.")


def _tiles(pictures: np.ndarray, tile: int) -> list[Image.Image]:
    return [_enlarged(Image.fromarray(picture), tile) for picture in _checked(pictures, tile)]


def _enlarged(image: Image.Image, tile: int) -> Image.Image:
    factor = _factor(image.size, tile)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _factor(size: Sequence[int], tile: int) -> int:
    return max(1, round(tile / max(size)))


def _good_columns(count: int) -> int:
    """About as many columns as rows; a few more if that leaves no row unfilled."""
    root = math.ceil(math.sqrt(count))
    return next((columns for columns in range(root, 2 * root) if count % columns == 0), root)


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


def _heat(values: np.ndarray) -> np.ndarray:
    """float (H, W) in [0, 1] -> float32 (H, W, 3) colours in [0, 255]."""
    places = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(values, places, _RAMP[:, channel]) for channel in range(3)], -1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _Row:
    tiles: Sequence[Image.Image]
    captions: Sequence[str]  # one for each tile, or a single one for the whole row


def _sheet(rows: Sequence[_Row], header: Sequence[str] = (), key: bool = False) -> Image.Image:
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
    _bound(size[0] * size[1])
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


def _text_height(texts: Sequence[Sequence[str]]) -> int:
    most = max(map(len, texts))
    return _GAP + most * _LINE if most else 0


def _draw_key(sheet: Image.Image, top: int) -> None:
    """What the colours of a mask mean, along the lower edge."""
    _write(sheet, ["mask 0"], _MARGIN, top)
    left = _MARGIN + 60
    ramp = _heat(np.tile(np.linspace(0, 1, 110), (10, 1)))
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
