"""ONNX: text encoder and generator as files for runtimes without TensorFlow, such as ONNX Runtime and OpenVINO.

`text.onnx` takes ids (B, T) int32, 0 after a caption's end, to sentence (B, D); `image.onnx` takes noise
(B, noise_dim) and sentence to image (B, S, S, 3) in [-1, 1] and mask_4 (B, 4, 4, 1), mask_8, ... in [0, 1]. All but the
ids are float32. Words are made of captions, and noise of seeds, by the rules of `on_device.py`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from ssagan_tf.core import files
from ssagan_tf.errors import UserError
from ssagan_tf.export.graph import DeviceGraphs
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.weights.model_folder import VOCABULARY_FILE

BATCH = "batch"  # name of the dimension
_OPSET = 17


def export(model: SSAGAN, folder: pathlib.Path, captions: Sequence[str] = ()) -> None:
    """Writes text.onnx, image.onnx and the vocabulary. Raises UserError if tf2onnx is not installed."""
    try:
        import tf2onnx
    except ImportError as error:
        raise UserError(
            f"ONNX files are written with tf2onnx. Received: {error}. Run pip install -e '.[onnx]'."
        ) from error
    model.require_vocabulary().save(folder / VOCABULARY_FILE)
    for name, function in DeviceGraphs(model).functions().items():
        converted, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=_OPSET)
        for value in [*converted.graph.input, *converted.graph.output]:
            _name_dimensions(value)
        files.write_atomically(folder / f"{name}.onnx", converted.SerializeToString())


def _name_dimensions(value) -> None:
    """Calls the first dimension of an input or output the batch; the others have their sizes."""
    batch, *others = value.type.tensor_type.shape.dim
    batch.dim_param = BATCH
    if not all(dimension.dim_value for dimension in others):
        raise RuntimeError(f"An ONNX file has a dimension without a size: {value}")
