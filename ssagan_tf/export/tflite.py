"""TFLite: the model for phones and small computers, for LiteRT, in four accuracies, of built-in operators alone.

Each file is the whole model with two signatures, so that nobody can pair halves that do not fit together: "text" takes
ids (B, T) int32 to a sentence (B, D); "image" takes noise (B, noise_dim) and a sentence to an image (B, S, S, 3) in
[-1, 1] and masks (B, h, h, 1) in [0, 1], `mask_4`, `mask_8`, ... All but the ids are float32, in the int8 file too.
The vocabulary is inside, as TFLite's associated files are: in a ZIP archive at the file's end, which any program that
reads ZIP finds there. So are names, dimensions and ranges of all inputs and outputs, as TFLite's metadata.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.calibrator import Calibrator
from ai_edge_quantizer.qtyping import TFLOperationName as Operation
from ai_edge_quantizer.quantizer import Quantizer
from ai_edge_quantizer.recipe_manager import RecipeManager
from ai_edge_quantizer.utils.qsv_utils import min_max_update

from ssagan_tf import noise, on_device
from ssagan_tf.core import files
from ssagan_tf.export.graph import DeviceGraphs
from ssagan_tf.export.tflite_metadata import Tensor, described
from ssagan_tf.networks.generator import FIRST_SIZE
from ssagan_tf.ssagan import SSAGAN

_CALIBRATION_PICTURES = 32


def export(model: SSAGAN, folder: pathlib.Path, captions: Sequence[str] = ()) -> None:
    """Writes a file of each accuracy, the vocabulary, and the module that draws with them."""
    model.require_vocabulary().save(folder / on_device.VOCABULARY_FILE)
    shutil.copy(on_device.__file__, folder)
    vocabulary = (folder / on_device.VOCABULARY_FILE).read_bytes()
    for variant, content in _converted(DeviceGraphs(model), on_device.VARIANTS, lambda: _calibration(model, captions)):
        files.write_atomically(folder / f"{variant}.tflite", _with_file(_described(content, model), vocabulary))


def for_one_picture(model: SSAGAN, variant: str) -> bytes:
    """A file for pages: batches of one picture once and for all, and "image" takes `mask_overrides` (1, S, S, 1), too.

    Args:
        model: with a vocabulary, which is not in the file.
        variant: one of `on_device.VARIANTS`.
    """
    return dict(_converted(DeviceGraphs(model, batch=1, overrides=True), [variant], lambda: _calibration(model, ())))[
        variant
    ]


def _converted(
    graphs: DeviceGraphs, variants: Sequence[str], calibration: Callable[[], dict]
) -> Iterator[tuple[str, bytes]]:
    """Each variant with its file."""
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # TensorFlow's converter warns of the interpreter that it itself uses.
        warnings.simplefilter("ignore")
        tf.saved_model.save(graphs, scratch, signatures=graphs.functions())
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=["text", "image"])
        plain = converter.convert()
        for variant in variants:
            if variant == "float32":
                yield variant, plain
            elif variant == "dynamic":
                # AI Edge Quantizer's has the embeddings in 32 bits.
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                yield variant, converter.convert()
            else:
                yield variant, _quantized(plain, variant, calibration)


def _quantized(content: bytes, variant: str, calibration: Callable[[], dict]) -> bytes:
    """By Google's AI Edge Quantizer. TensorFlow's converter does worse: its float16 files have biases of 16 bits, too,
    and differ from Keras's pictures up to five times as much; its int8 files, calibrated alike, are 20 dB below.
    """
    recipe, ranges = RecipeManager(), None
    with contextlib.redirect_stderr(io.StringIO()):  # a bar for each of its passes
        if variant == "float16":
            recipe.add_weight_only_config(".*", Operation.ALL_SUPPORTED, 16, algorithm_key=AlgorithmName.FLOAT_CASTING)
        else:
            recipe.add_static_config(".*", Operation.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
            for end in (Operation.INPUT, Operation.OUTPUT):
                recipe.add_quantization_config(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
            # The whole range that was met: by default it is a moving average, which cuts off what is rare.
            calibrator = Calibrator(content, num_threads=1, qsv_update_func=min_max_update)
            calibrator.calibrate(calibration(), recipe)
            ranges = calibrator.get_model_qsvs()
        result = Quantizer(content, recipe.get_quantization_recipe()).quantize(ranges, enable_progress_report=False)
    return bytes(result.quantized_model)


def _calibration(model: SSAGAN, captions: Sequence[str]) -> dict[str, list[dict[str, np.ndarray]]]:
    """What the ranges of the int8 file are measured on: inputs of each signature.

    Sentences of random words at every length, as each word's step of the LSTM has ranges of its own, and a step that
    stood still in all captions would be cut off in a shorter or longer one. Pictures of the captions, or else of random
    words, which ask for features that no real caption does: the ranges are too wide then, and the steps in them coarse.
    """
    random, places = np.random.default_rng(0), np.arange(model.max_words)
    seeds = range(_CALIBRATION_PICTURES)
    ids = random.integers(1, len(model.require_vocabulary()), [len(seeds), model.max_words], np.int32)
    texts = [{"ids": np.where(places <= last, ids, 0)} for last in places]
    if captions:
        sentences = model.encode([captions[seed % len(captions)] for seed in seeds])
    else:
        lengths = random.integers(1, model.max_words + 1, [len(seeds), 1])
        sentences = model.text_encoder(np.where(places < lengths, ids, 0), training=False)[1].numpy()
    draws = noise.normals(seeds, model.generator.noise_dim)
    images = [{"noise": row[None], "sentence": sentence[None]} for row, sentence in zip(draws, sentences, strict=True)]
    return {"text": texts, "image": images}


def _described(content: bytes, model: SSAGAN) -> bytes:
    """A model with metadata."""
    size, last_id = model.generator.image_size, len(model.require_vocabulary()) - 1
    batch, grid = ("batch",), ("batch", "height", "width")
    tensors = {
        "ids": Tensor("Ids of words, 0 after the last.", (*batch, "words"), (0, last_id), has_vocabulary=True),
        "sentence": Tensor("Sentence embedding.", (*batch, "features")),
        "noise": Tensor("Standard normal noise.", (*batch, "features")),
        "image": Tensor("Picture, red, green and blue.", (*grid, "channels"), (-1.0, 1.0), is_image=True),
    }
    for index in range(len(model.generator.blocks)):
        height = FIRST_SIZE * 2**index
        about = f"Mask of {height} x {height}: where the text acts, 0 for nowhere to 1 for fully."
        tensors[f"mask_{height}"] = Tensor(about, (*grid, "channels"), (0.0, 1.0))
    return described(content, "SSA-GAN", f"Pictures of captions, {size} x {size} pixels.", tensors)


def _with_file(content: bytes, vocabulary: bytes) -> bytes:
    """A model with the vocabulary as its associated file."""
    buffer = io.BytesIO(content)
    # A fixed date, so that the same model is the same bytes.
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(zipfile.ZipInfo(on_device.VOCABULARY_FILE, (1980, 1, 1, 0, 0, 0)), vocabulary)
    return buffer.getvalue()
