"""Sheets, strips and films of a model's pictures: what `sample.py` writes."""

from __future__ import annotations

import os
import pathlib
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from ssagan_tf import on_device, pictures
from ssagan_tf.core import files

if typing.TYPE_CHECKING:
    from ssagan_tf.text_to_image import TextToImage

    Model = TextToImage | on_device.Sampler

TFLITE_FOLDER = "tflite"
STAMP_FILE = "weights.sha256"  # in it: of the weights that the TFLite files were made from
_WEIGHTS_FILE = "model.safetensors"  # as in `weights.model_folder`, which would import Keras
_DIGEST = 64  # characters of a SHA-256
_FILM_MILLISECONDS = 2000


def stamp(folder: pathlib.Path) -> None:
    """Says in a model folder that its TFLite files are made from its weights."""
    files.write_atomically(folder / TFLITE_FOLDER / STAMP_FILE, files.sha256(folder / _WEIGHTS_FILE) + "\n")


def light_model(folder: str | os.PathLike) -> on_device.Sampler | None:
    """A model folder's generator by LiteRT: in a tenth of the time that importing TensorFlow takes.

    Returns:
        None where the folder has no float32 TFLite file of these very weights, or LiteRT is not installed.
    """
    place = pathlib.Path(folder)
    if not place.exists() and place.name == str(folder):
        place = files.SAVED_MODELS / place.name.replace("_", "-")
    tflite, weights = place / TFLITE_FOLDER, place / _WEIGHTS_FILE
    model = tflite / f"{on_device.VARIANTS[0]}.tflite"
    try:
        # What is no plain file, such as a link to a device, has no end.
        if not all(path.is_file() for path in (model, weights, tflite / STAMP_FILE)):
            return None
        with open(tflite / STAMP_FILE, encoding="ascii") as stamped:
            if stamped.read(_DIGEST + 1).strip() != files.sha256(weights):
                return None
        return on_device.Sampler(model)
    except (OSError, UnicodeDecodeError, on_device.OnDeviceError):
        return None


def write_sheet(
    model: Model,
    captions: Sequence[str],
    seed: int,
    count: int,
    out: str | os.PathLike,
    truncation: float | None = None,
    masks: bool = False,
) -> list[pathlib.Path]:
    """A PNG with a row of `count` pictures for each caption; with `masks`, a row of masks for each picture instead.

    Raises:
        UserError: a caption without a known word, or `out` cannot be written.
    """
    drawn, stages = model.generate_with_masks(captions, seed, count, truncation)
    if masks:
        titles = [f"{caption} (seed {seed + index})" for caption in captions for index in range(count)]
        sheet = pictures.mask_sheet(drawn, stages, titles)
    else:
        rows = np.split(drawn, len(captions))
        sheet = pictures.caption_grid(list(zip(captions, rows, strict=True)))
    pictures.save_png(sheet, out)
    return [pathlib.Path(out)]


def write_stages(
    models: Mapping[str, Model], captions: Sequence[str], seed: int, out: str | os.PathLike
) -> list[pathlib.Path]:
    """A PNG with a row for each caption and a column for each model, such as of a training's iterations.

    Args:
        models: by the titles of their columns; all of one picture size.
        captions: what every model generates, from the noise of `seed`.
        seed: of all pictures.
        out: the file.

    Raises:
        UserError: a caption without a word that a model knows, or `out` cannot be written.
    """
    columns = [model.generate(captions, seed) for model in models.values()]
    rows = np.stack(columns, 1)
    pictures.save_png(pictures.caption_grid(list(zip(captions, rows, strict=True)), list(models)), out)
    return [pathlib.Path(out)]


def interpolate(
    model: Model,
    captions: Sequence[str],
    seeds: tuple[int, int],
    frames: int,
    truncation: float | None = None,
) -> np.ndarray:
    """Pictures on the way from one caption to another, from one seed to another, or both at once.

    Sentence embeddings are mixed linearly; noises along the sphere (White, "Sampling generative networks", 2016), so
    that the mixtures are as long as noise is.

    Args:
        model: with a vocabulary.
        captions: one, or two.
        seeds: of the first and the last picture.
        frames: pictures in all.
        truncation: factor on the noise.

    Returns:
        uint8 (frames, S, S, 3).

    Raises:
        UserError: a caption without a known word.
    """
    ends = [captions[0], captions[-1]]
    sentences = model.encode(ends)
    noises = model.noise_of(seeds)
    along = np.linspace(0.0, 1.0, frames, dtype=np.float32)[:, None]
    mixed = sentences[:1] * (1 - along) + sentences[1:] * along
    # Only now, because noise of length 0 has no direction.
    factor = np.float32(1.0 if truncation is None else truncation)
    return model.generate_from_embeddings(mixed, _along_sphere(noises[0], noises[1], along) * factor)


def _along_sphere(start: np.ndarray, end: np.ndarray, along: np.ndarray) -> np.ndarray:
    """(D,), (D,), (N, 1) in [0, 1] -> (N, D)."""
    cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    if angle < 1e-4:
        return start * (1 - along) + end * along
    return ((np.sin((1 - along) * angle) * start + np.sin(along * angle) * end) / np.sin(angle)).astype(np.float32)


def write_interpolation(
    model: Model,
    captions: Sequence[str],
    seeds: tuple[int, int],
    frames: int,
    out: str | os.PathLike,
    truncation: float | None = None,
) -> list[pathlib.Path]:
    """A strip as PNG and a film, there and back, as GIF beside it. Raises UserError as `interpolate`."""
    drawn = interpolate(model, captions, seeds, frames, truncation)
    out = pathlib.Path(out)
    film = out.with_suffix(".gif")
    pictures.save_png(pictures.strip(drawn), out)
    there_and_back = np.concatenate([drawn, drawn[-2:0:-1]])
    files.write_atomically(film, pictures.gif_bytes(there_and_back, _FILM_MILLISECONDS // frames))
    return [out, film]
