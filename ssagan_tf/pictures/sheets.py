"""Sheets: grids of pictures, with captions, masks or attention."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ssagan_tf.errors import UserError
from ssagan_tf.pictures.layout import SMALL_TILE, TILE, Row, check_count, check_pictures, compose, tiles_of
from ssagan_tf.pictures.masks import mask_overlay

_STRIP_COLUMNS = 12


def grid(
    pictures: np.ndarray, columns: int | None = None, titles: Sequence[str] | None = None, tile: int = TILE
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
    tiles = tiles_of(pictures, tile)
    if titles is None:
        titles = [""] * len(tiles)
    check_count("titles", titles, len(tiles))
    if columns is None:
        columns = _good_columns(len(tiles))
    if columns < 1:
        raise UserError(f"A sheet has columns. Received: columns={columns}. Use 1 or more.")
    starts = range(0, len(tiles), columns)
    return compose([Row(tiles[start : start + columns], titles[start : start + columns]) for start in starts])


def caption_grid(rows: Sequence[tuple[str, np.ndarray]], header: Sequence[str] = (), key: bool = False) -> Image.Image:
    """A sheet with a row of pictures, such as of several seeds, for each caption, which is written under them.

    Args:
        rows: captions, each with uint8 (B, H, W, 3); H and W are the same in all rows.
        header: over each column.
        key: whether to show what the colours of masks mean.

    Raises:
        UserError: no rows, or not of that kind.
    """
    return compose([Row(tiles_of(pictures, TILE), [caption]) for caption, pictures in rows], header, key)


def mask_sheet(pictures: np.ndarray, masks: Sequence[np.ndarray], titles: Sequence[str] | None = None) -> Image.Image:
    """A sheet with a row for each picture: the picture, then each stage's mask over it.

    Args:
        pictures: uint8 (B, H, W, 3).
        masks: of each stage, 4x4 first: float (B, h, w, 1) in [0, 1].
        titles: one for each picture, written under its row.

    Raises:
        UserError: not of that kind, or not as many of each as there are pictures.
    """
    pictures = check_pictures(pictures)
    if titles is None:
        titles = [""] * len(pictures)
    check_count("titles", titles, len(pictures))
    for stage in masks:
        check_count("masks of a stage", stage, len(pictures))
    rows = []
    for index, picture in enumerate(pictures):
        overlays = [np.asarray(mask_overlay(picture, stage[index])) for stage in masks]
        rows.append(Row(tiles_of(np.stack([picture, *overlays]), TILE), [titles[index]]))
    header = ["picture", *(f"{stage.shape[1]}x{stage.shape[2]}" for stage in masks)]
    return compose(rows, header, key=True)


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
    pictures = check_pictures(pictures)
    for what, given in (("captions", captions), ("captions' words", words), ("captions' maps", maps)):
        check_count(what, given, len(pictures))
    rows = []
    for picture, caption, said, seen in zip(pictures, captions, words, maps, strict=True):
        check_count("maps of words", seen, len(said))
        overlays = [np.asarray(mask_overlay(picture, each / max(float(np.max(each)), 1e-12))) for each in seen]
        rows.append(Row(tiles_of(np.stack([picture, *overlays]), SMALL_TILE), [caption, *said]))
    return compose(rows)


def strip(frames: np.ndarray) -> Image.Image:
    """Pictures side by side, such as those of an interpolation; very many go on in another row.

    Args:
        frames: uint8 (B, H, W, 3).

    Raises:
        UserError: no pictures, or not of that kind.
    """
    return grid(frames, columns=min(max(1, len(frames)), _STRIP_COLUMNS))


def _good_columns(count: int) -> int:
    """About as many columns as rows; a few more if that leaves no row unfilled."""
    root = math.ceil(math.sqrt(count))
    return next((columns for columns in range(root, 2 * root) if count % columns == 0), root)
