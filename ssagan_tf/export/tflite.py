"""TFLite: the model for phones and small computers, for LiteRT, in four accuracies, of built-in operators alone.

Each file is the whole model with two signatures, so that nobody can pair halves that do not fit together: "text" takes
ids (B, T) int32 to a sentence (B, D); "image" takes noise (B, noise_dim) and a sentence to an image (B, S, S, 3) in
[-1, 1] and masks (B, h, h, 1) in [0, 1], `mask_4`, `mask_8`, ... All but the ids are float32, in the int8 file too.
The vocabulary is inside, as TFLite's associated files are: in a ZIP archive at the file's end, which any program that
reads ZIP finds there.
"""

from __future__ import annotations

import io
import pathlib
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from ssagan_tf import files, noise, on_device
from ssagan_tf.export.graph import ImageGraph, TextGraph
from ssagan_tf.ssagan import SSAGAN

FOLDER = "tflite"
_CALIBRATION_CAPTIONS = 32


def export(model: SSAGAN, folder: pathlib.Path) -> None:
    """Writes `folder/tflite`: a file of each accuracy, the vocabulary, and the module that draws with them."""
    folder = folder / FOLDER
    model.vocabulary.save(folder / on_device.VOCABULARY_FILE)
    shutil.copy(on_device.__file__, folder)
    vocabulary = (folder / on_device.VOCABULARY_FILE).read_bytes()
    with tempfile.TemporaryDirectory() as scratch:
        graphs = _Graphs(model)
        tf.saved_model.save(graphs, scratch, signatures=graphs.signatures())
        for variant in on_device.VARIANTS:
            content = _converted(scratch, variant, lambda: _calibration(model))
            files.write_atomically(folder / f"{variant}.tflite", _with_file(content, vocabulary))


def for_one_picture(model: SSAGAN, variant: str) -> bytes:
    """A file whose batches are of one picture once and for all, for runtimes that cannot resize them.

    Args:
        model: with a vocabulary, which is not in the file.
        variant: one of `on_device.VARIANTS`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        graphs = _Graphs(model, batch=1)
        tf.saved_model.save(graphs, scratch, signatures=graphs.signatures())
        return _converted(scratch, variant, lambda: _calibration(model))


class _Graphs(tf.Module):
    """What a device runs."""

    def __init__(self, model: SSAGAN, batch: int | None = None):
        super().__init__()
        self.batch = batch
        self.encode = TextGraph(model.text_encoder, model.max_words)
        self.draw = ImageGraph(model.generator)
        self.sizes = (model.max_words, model.generator.noise_dim, model.generator.sentence_dim)

    def signatures(self) -> dict[str, Callable]:
        max_words, noise_dim, sentence_dim = self.sizes
        noise_batch, sentence = tf.TensorSpec([self.batch, noise_dim]), tf.TensorSpec([self.batch, sentence_dim])
        return {
            "text": tf.function(self.text, [tf.TensorSpec([self.batch, max_words], tf.int32)]),
            "image": tf.function(self.image, [noise_batch, sentence]),
        }

    def text(self, ids):
        return {"sentence": self.encode(ids)[1]}

    def image(self, noise, sentence):
        image, masks = self.draw(noise, sentence)
        return {"image": image, **{f"mask_{mask.shape[1]}": mask for mask in masks}}


def _converted(saved_model: str, variant: str, calibration: Callable[[], Iterator]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["text", "image"])
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = calibration
    with warnings.catch_warnings():
        # The converter itself uses an interpreter that TensorFlow warns of.
        warnings.simplefilter("ignore")
        return converter.convert()


def _calibration(model: SSAGAN) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """What the ranges of the int8 file are measured on: captions of every length, and pictures of them.

    Every length, because each word's step of the LSTM has ranges of its own, and a step that stood still in all
    captions would be cut off in a shorter or longer one.
    """
    random = np.random.default_rng(0)
    seeds = range(_CALIBRATION_CAPTIONS)
    ids = random.integers(1, len(model.vocabulary), [len(seeds), model.max_words], np.int32)
    for row in ids:
        for length in range(1, model.max_words + 1):
            cut = np.where(np.arange(model.max_words) < length, row, 0)[None]
            yield "text", {"ids": cut}
    lengths = random.integers(1, model.max_words + 1, [len(seeds), 1])
    ids = np.where(np.arange(model.max_words) < lengths, ids, 0)
    sentences = model.text_encoder(ids, training=False)[1].numpy()
    for row, sentence in zip(noise.normals(seeds, model.generator.noise_dim), sentences, strict=True):
        yield "image", {"noise": row[None], "sentence": sentence[None]}


def _with_file(content: bytes, vocabulary: bytes) -> bytes:
    """A model with the vocabulary as its associated file."""
    buffer = io.BytesIO(content)
    # A fixed date, so that the same model is the same bytes.
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(zipfile.ZipInfo(on_device.VOCABULARY_FILE, (1980, 1, 1, 0, 0, 0)), vocabulary)
    return buffer.getvalue()
