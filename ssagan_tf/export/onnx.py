"""ONNX: text encoder and generator as files for runtimes without TensorFlow, such as ONNX Runtime and OpenVINO.

`text.onnx` takes ids (B, T) int32, 0 after a caption's end, to sentence (B, D); `image.onnx` takes noise
(B, noise_dim) and sentence to image (B, S, S, 3) in [-1, 1] and mask_4 (B, 4, 4, 1), mask_8, ... in [0, 1]. All but the
ids are float32. Words are made of captions, and noise of seeds, by the rules of `on_device.py`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.export.graph import ImageGraph, TextGraph
from ssagan_tf.presets import VOCABULARY_FILE
from ssagan_tf.ssagan import SSAGAN

FOLDER = "onnx"
_OPSET = 17


def export(model: SSAGAN, folder: pathlib.Path, captions: Sequence[str] = ()) -> None:
    """Writes `folder/onnx`: text.onnx, image.onnx and the vocabulary. Raises UserError if tf2onnx is not installed."""
    try:
        import tf2onnx
    except ImportError as error:
        raise UserError(
            f"ONNX files are written with tf2onnx. Received: {error}. Run pip install 'ssagan_tf[onnx]'."
        ) from error
    folder = folder / FOLDER
    model.vocabulary.save(folder / VOCABULARY_FILE)
    for name, function in _functions(model).items():
        tf2onnx.convert.from_function(
            function, function.input_signature, opset=_OPSET, output_path=str(folder / f"{name}.onnx")
        )


def _functions(model: SSAGAN) -> dict[str, tf.types.experimental.GenericFunction]:
    encode = TextGraph(model.text_encoder, model.max_words)
    draw = ImageGraph(model.generator)

    def text(ids):
        return {"sentence": encode(ids)[1]}

    def image(noise, sentence):
        image, masks = draw(noise, sentence)
        return {"image": image, **{f"mask_{mask.shape[1]}": mask for mask in masks}}

    ids = tf.TensorSpec([None, model.max_words], tf.int32, "ids")
    noise = tf.TensorSpec([None, model.generator.noise_dim], name="noise")
    sentence = tf.TensorSpec([None, model.generator.sentence_dim], name="sentence")
    return {
        "text": tf.function(text, [ids], autograph=False),
        "image": tf.function(image, [noise, sentence], autograph=False),
    }
