"""Generates pictures with replaced masks, and sheets that compare them with the originals.

OUT.png                     the masks of each picture, laid over it
OUT.gif                     the same as a film, from the coarsest mask to the finest
OUT-interventions.png       as drawn, with other masks, and the difference
OUT-swaps.png               before and after another word, the difference, and the masks beside it
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from ssagan_tf import pictures
from ssagan_tf.core import files
from ssagan_tf.data.decoding import load_picture
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.masks.swaps import difference, swap_word
from ssagan_tf.networks.generator import FIRST_SIZE
from ssagan_tf.text_to_image import TextToImage

ALL = "all"
_FRAME_MILLISECONDS = 800
_WORDS = {"ablate": "mask 0", "ones": "mask 1", "freeze": "mask of the next", "paint": "painted mask"}

Masks = Sequence[np.ndarray]  # of each stage (B, h, h, 1), 4x4 first
Overrides = list[np.ndarray | None]  # of each stage (1, h, h, 1), or None: the predicted one


class Intervention(NamedTuple):
    """Another mask at some stages.

    Attributes:
        kind: "ablate": 0; "ones": 1; "freeze": that of the next caption; "paint": a picture's, white is 1.
        stages: sizes with commas, such as "4,16", or "all".
        picture: file to paint with; only for "paint".
    """

    kind: str
    stages: str = ALL
    picture: str = ""


class Drawn(NamedTuple):
    """A picture of a caption and a seed: uint8 (S, S, 3), and the masks in effect, float32 (h, h, 1) each."""

    caption: str
    seed: int
    picture: np.ndarray
    masks: list[np.ndarray]


def sizes_of(model: TextToImage) -> list[int]:
    """Height and width of each stage's mask."""
    return [FIRST_SIZE * 2**stage for stage in range(len(model.generator.blocks))]


def chosen_stages(text: str, sizes: Sequence[int]) -> list[bool]:
    """Whether each stage is meant by "all" or by sizes with commas. Raises UserError for any other size."""
    names = [name.strip() for name in text.split(",")]
    known = [str(size) for size in sizes]
    if names == [ALL]:
        return [True] * len(sizes)
    wrong = [name for name in names if name not in known]
    if wrong:
        raise UserError(
            f"There is no such mask. Received: {wrong[0]!r}. Use {ALL}, or some of {', '.join(known)} with commas."
        )
    return [name in names for name in known]


def overrides_of(intervention: Intervention, sizes: Sequence[int], next_masks: Masks) -> Overrides:
    """The masks that an intervention puts in place of the predicted ones.

    Args:
        intervention: which.
        sizes: of all stages.
        next_masks: of the next caption with the same seed, of each stage (h, h, 1).

    Raises:
        UserError: no such stage, or a picture that cannot be read.
    """
    chosen = chosen_stages(intervention.stages, sizes)
    if intervention.kind == "paint":
        given = painted(load_picture(intervention.picture), sizes)
    elif intervention.kind == "freeze":
        given = [mask[None] for mask in next_masks]
    else:
        value = {"ablate": 0.0, "ones": 1.0}[intervention.kind]
        given = [np.full([1, size, size, 1], value, np.float32) for size in sizes]
    return [mask if wanted else None for mask, wanted in zip(given, chosen, strict=True)]


def painted(image: Image.Image, sizes: Sequence[int]) -> list[np.ndarray]:
    """A picture as a mask of each size, float32 (1, h, h, 1): black is 0, white is 1; brought to a square."""
    grey = image.convert("L")
    resized = [grey.resize((size, size), Image.Resampling.BILINEAR) for size in sizes]
    return [np.asarray(each, np.float32)[None, :, :, None] / 255 for each in resized]


def draw(
    model: TextToImage, caption: str, seed: int, truncation: float | None = None, overrides: Overrides | None = None
) -> Drawn:
    """A picture, with masks from outside if they are given.

    Raises:
        UserError: no vocabulary, or no known word in the caption.
    """
    noise = tf.constant(model.noise_of([seed], truncation))
    image, masks = model.generator(noise, tf.constant(model.encode(caption)), mask_overrides=overrides)
    return Drawn(caption, seed, pictures.to_uint8(image.numpy())[0], [mask.numpy()[0] for mask in masks])


def write_inspection(
    model: TextToImage,
    captions: Sequence[str],
    seed: int,
    count: int,
    out: str | os.PathLike,
    truncation: float | None = None,
    interventions: Sequence[Intervention] = (),
    swaps: Sequence[tuple[str, str]] = (),
) -> list[pathlib.Path]:
    """Writes the sheets and the film named above; those of interventions and swaps only if there are any.

    Args:
        model: with a vocabulary.
        captions: each is drawn.
        seed: of a caption's first picture; the next have seed + 1, ...
        count: pictures of each caption.
        out: PNG file; the other names are made from it.
        truncation: factor on the noise.
        interventions: each is drawn for every picture.
        swaps: (old word, new word), each a row for every picture whose caption has the old one.

    Returns:
        What was written.

    Raises:
        UserError: a caption without a known word, a stage, picture or word that is not there, a file not writable.
    """
    out = pathlib.Path(out)
    _check(captions, interventions, sizes_of(model))
    swapped = _swapped(captions, swaps)
    seeds = range(seed, seed + count)
    drawn = [[draw(model, caption, each, truncation) for each in seeds] for caption in captions]
    written = {out: pictures.png_bytes(mask_sheet(drawn)), out.with_suffix(".gif"): film(drawn)}
    if interventions:
        sheet = _intervention_sheet(model, drawn, interventions, truncation)
        written[out.with_stem(f"{out.stem}-interventions")] = pictures.png_bytes(sheet)
    if swapped:
        rows = []
        for caption, old, new, text in swapped:
            for before in drawn[captions.index(caption)]:
                rows.append(_swap_row(before, draw(model, text, before.seed, truncation), old, new))
        header = ["before", "after", "difference", *(f"mask {size}x{size}" for size in sizes_of(model))]
        written[out.with_stem(f"{out.stem}-swaps")] = pictures.png_bytes(pictures.caption_grid(rows, header, key=True))
    for path, content in written.items():
        files.write_atomically(path, content)
    return list(written)


def _check(captions: Sequence[str], interventions: Sequence[Intervention], sizes: Sequence[int]) -> None:
    """Before anything is drawn."""
    for each in interventions:
        chosen_stages(each.stages, sizes)
        if each.kind == "freeze" and len(captions) < 2:
            raise UserError("The mask of another caption needs one. Received: one caption. Give a second --caption.")


def _swapped(captions: Sequence[str], swaps: Sequence[tuple[str, str]]) -> list[tuple[str, str, str, str]]:
    """(caption, old, new, caption with the new one) wherever a caption has the old word; one at least must."""
    found = []
    for old, new in swaps:
        having = []
        for caption in captions:
            try:
                having.append((caption, old, new, swap_word(caption, old, new)))
            except UserError as error:
                missing = error
        if not having:
            raise missing
        found += having
    return found


def mask_sheet(drawn: Sequence[Sequence[Drawn]]) -> Image.Image:
    """A row for each picture: the picture, then each stage's mask over it."""
    flat = [each for row in drawn for each in row]
    stages = [np.stack(masks) for masks in zip(*(each.masks for each in flat), strict=True)]
    return pictures.mask_sheet(np.stack([each.picture for each in flat]), stages, [_title(each) for each in flat])


def film(drawn: Sequence[Sequence[Drawn]]) -> bytes:
    """GIF: all pictures on one sheet, then the same sheet under each stage's masks."""
    columns = len(drawn[0])
    flat = [each for row in drawn for each in row]
    tiles = [[each.picture for each in flat]]
    for stage in range(len(flat[0].masks)):
        tiles.append([np.asarray(pictures.mask_overlay(each.picture, each.masks[stage])) for each in flat])
    names = ["picture", *(f"mask {len(mask)}x{len(mask)}" for mask in flat[0].masks)]
    sheets = [
        pictures.grid(np.stack(frame), columns, [name] * len(frame)) for name, frame in zip(names, tiles, strict=True)
    ]
    return pictures.gif_bytes(np.stack([np.asarray(sheet) for sheet in sheets]), _FRAME_MILLISECONDS)


def _intervention_sheet(
    model: TextToImage,
    drawn: Sequence[Sequence[Drawn]],
    interventions: Sequence[Intervention],
    truncation: float | None,
) -> Image.Image:
    """A row for each picture: as drawn, then with the masks of each intervention, and the difference."""
    rows, sizes = [], sizes_of(model)
    for turn, of_caption in enumerate(drawn):
        for usual, following in zip(of_caption, drawn[(turn + 1) % len(drawn)], strict=True):
            tiles = [usual.picture]
            for each in interventions:
                given = overrides_of(each, sizes, following.masks)
                changed = draw(model, usual.caption, usual.seed, truncation, given)
                tiles += [changed.picture, pictures.heat_map(difference(usual.picture, changed.picture))]
            rows.append((_title(usual), np.stack(tiles)))
    names = [name for each in interventions for name in (f"{_WORDS[each.kind]}: {each.stages}", "difference")]
    return pictures.caption_grid(rows, ["as drawn", *names])


def _swap_row(before: Drawn, after: Drawn, old: str, new: str) -> tuple[str, np.ndarray]:
    overlays = [np.asarray(pictures.mask_overlay(before.picture, mask)) for mask in before.masks]
    apart = pictures.heat_map(difference(before.picture, after.picture))
    return f"{_title(before)}: {old} -> {new}", np.stack([before.picture, after.picture, apart, *overlays])


def _title(drawn: Drawn) -> str:
    return f"{drawn.caption} (seed {drawn.seed})"
