"""Generates the pictures to score: streamed to a folder, in constant memory, resumable.

settings.json              what they were drawn from; another model or other captions are refused
pictures-00000.npy ...     uint8 (256, S, S, 3), the last one shorter
pictures-00000.sha256 ...  of that file; where it differs, the pictures are drawn again
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from ssagan_tf.core import files
from ssagan_tf.core.progress import Bar
from ssagan_tf.errors import UserError
from ssagan_tf.text_to_image import TextToImage
from ssagan_tf.weights import tensor_files

CAPTION_RULE = "sample i: picture i mod P and its caption i // P; of fewer samples than pictures, evenly spread ones"
_SETTINGS = "settings.json"
_SUM = ".sha256"
_SHARD = 256  # pictures
_BATCH = 16  # in which a model draws, see `SSAGAN.generate_from_embeddings`


def choose_captions(captions_of: Sequence[Sequence[object]], count: int) -> list[tuple[int, int]]:
    """Which caption of which picture each of `count` samples is drawn from: `CAPTION_RULE`.

    Args:
        captions_of: the captions of each picture.
        count: samples.

    Returns:
        (picture, caption) for each sample; after a picture's last caption comes its first.

    Raises:
        UserError: no picture, or no sample.
    """
    total = len(captions_of)
    if not total or count < 1:
        raise UserError(f"There is nothing to draw. Received: {total} pictures, a count of {count}. Give 1 or more.")
    if count < total:
        return [(index * total // count, 0) for index in range(count)]
    chosen = ((index % total, index // total) for index in range(count))
    return [(picture, turn % len(captions_of[picture])) for picture, turn in chosen]


class DrawnPictures:
    """Pictures in a folder, made by `draw_pictures`; iterating gives uint8 arrays (n, S, S, 3), a few at a time."""

    def __init__(self, folder: str | os.PathLike, count: int):
        self.folder = pathlib.Path(folder)
        self.count = count

    def __iter__(self) -> Iterator[np.ndarray]:
        for first in range(0, self.count, _SHARD):
            yield np.load(self._path(first))

    def _path(self, first: int) -> pathlib.Path:
        return self.folder / f"pictures-{first // _SHARD:05d}.npy"

    @functools.cached_property
    def sha256(self) -> str:
        """Of the pixels, in their order."""
        digest = hashlib.sha256()
        for pictures in self:
            digest.update(pictures.tobytes())
        return digest.hexdigest()

    def _write(self, first: int, pictures: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.save(buffer, pictures)
        content, path = buffer.getvalue(), self._path(first)
        files.write_atomically(path.with_suffix(_SUM), hashlib.sha256(content).hexdigest() + "\n")
        files.write_atomically(path, content)

    def _whole(self, first: int) -> bool:
        """Whether the shard beginning with a picture is there, with the bytes that were written."""
        path = self._path(first)
        if not path.is_file():
            return False
        try:
            if path.with_suffix(_SUM).read_text(encoding="ascii").strip() == files.sha256(path):
                return True
        except (OSError, ValueError):
            pass
        logging.warning("Pictures are not those that were drawn. Received: %s. They are drawn again.", path)
        return False


def draw_pictures(
    model: TextToImage,
    captions: Sequence[str],
    folder: str | os.PathLike,
    seed: int = 0,
    truncation: float | str | None = None,
) -> DrawnPictures:
    """Draws a picture of each caption into a folder, or goes on where it was stopped.

    Args:
        model: with a vocabulary.
        captions: one for each picture.
        folder: made if it is not there.
        seed: of the first picture; that of picture i is seed + i.
        truncation: of the noise, see `noise.truncated`.

    Raises:
        UserError: the folder holds pictures of other settings, or cannot be written; the model has no vocabulary.
    """
    if model.vocabulary is None:
        raise UserError("The model has no vocabulary. Received: captions as text. Build it with a vocabulary.")
    drawn = DrawnPictures(folder, len(captions))
    _begin(drawn.folder, settings(model, captions, seed, truncation))
    _tell_unknown(model, captions)
    encode = _encoder(model)
    missing = [first for first in range(0, drawn.count, _SHARD) if not drawn._whole(first)]
    with Bar(sum(min(_SHARD, drawn.count - first) for first in missing), "pictures") as bar:
        for first in missing:
            part = captions[first : first + _SHARD]
            # Filled up, so that the model draws every picture in a batch of the same size.
            whole = [*part, *[part[-1]] * (-len(part) % _BATCH)]
            noise = model.noise_of(np.arange(len(whole), dtype=np.int64) + seed + first, truncation)
            images = model.generate_from_embeddings(encode(whole), noise)[: len(part)]
            drawn._write(first, images)
            for _ in part:
                bar.step()
    return drawn


def _encoder(model: TextToImage) -> Callable[[Sequence[str]], np.ndarray]:
    """Captions to sentence embeddings, without a word about each of them, which would be thousands of lines."""

    @tf.function(input_signature=[tf.TensorSpec([_BATCH], tf.string)])
    def one_batch(texts):
        return model.text_encoder(model.to_ids(texts), training=False)[1]

    def encode(captions):
        texts = [caption.encode(errors="replace") for caption in captions]
        parts = [texts[first : first + _BATCH] for first in range(0, len(texts), _BATCH)]
        return np.concatenate([one_batch(tf.constant(part)).numpy() for part in parts])

    return encode


def _tell_unknown(model: TextToImage, captions: Sequence[str]) -> None:
    vocabulary = model.require_vocabulary()
    unknown = sum(bool(vocabulary.unknown(caption)) for caption in set(captions))
    if unknown:
        logging.info(
            "%d of %d captions have words that the model does not know; they are left out.", unknown, len(set(captions))
        )


def settings(model: TextToImage, captions: Sequence[str], seed: int, truncation: float | str | None) -> dict:
    """What pictures follow from."""
    digest = hashlib.sha256("\n".join(captions).encode(errors="replace"))
    return {
        "weights": weights_sha256(model),
        "image_size": model.generator.image_size,
        "captions": digest.hexdigest(),
        "count": len(captions),
        "seed": seed,
        "truncation": truncation,
        "tensorflow": tf.__version__,  # another one may draw the other half a little otherwise
    }


def weights_sha256(model: TextToImage) -> str:
    """Of everything that a model draws with: weights and words."""
    digest = hashlib.sha256()
    named = tensor_files.named_variables("generator", model.generator.variables)
    named |= tensor_files.named_variables("text_encoder", model.text_encoder.variables)
    for name, variable in sorted(named.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    words = () if model.vocabulary is None else model.vocabulary.words
    digest.update("\n".join(map(str, [model.max_words, *words])).encode())
    return digest.hexdigest()


def _begin(folder: pathlib.Path, wanted: dict) -> None:
    path = folder / _SETTINGS
    if not path.exists():
        if any(folder.glob("pictures-*.npy")):
            raise UserError(
                f"Nothing says what the pictures were drawn from. Received: {folder} without {_SETTINGS}. "
                "Choose another --out, or remove the folder."
            )
        files.write_atomically(path, json.dumps(wanted, indent=2) + "\n")
        return
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"A file is damaged. Received: {path}: {error}. Remove the folder and start anew.") from error
    different = [
        f"{name} is {found.get(name)} there, {wanted[name]} here" for name in wanted if found.get(name) != wanted[name]
    ]
    if different:
        raise UserError(
            f"The folder holds pictures drawn otherwise. Received: {folder}: {'; '.join(different)}. "
            "Choose another --out, or remove the folder."
        )
