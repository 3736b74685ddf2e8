"""What the layers are made of: layers that start as PyTorch's do, activations, enlarging."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

LEAK = 0.2


def register(cls: type) -> type:
    """Registers a layer for saving under this package's name."""
    return keras.saving.register_keras_serializable(package="ssagan_tf")(cls)


def stated(options: dict) -> dict:
    """A layer's options with its dtype in them: float32 unless it is given.

    Of Keras's settings only the policy "float64", set in so many words, is taken: it makes everything more exact. With
    float16 or a mixed policy, encoders and losses would lose their numbers.
    """
    more_exact = keras.config.dtype_policy().name == "float64" and keras.config.floatx() != "float64"
    return {**options, "dtype": options.get("dtype") or ("float64" if more_exact else "float32")}


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """Keras as it is without settings, for what others build with it: float32, channels last."""
    settings = keras.config
    pairs = [
        (settings.floatx, settings.set_floatx, "float32"),
        (settings.image_data_format, settings.set_image_data_format, "channels_last"),
        (settings.dtype_policy, settings.set_dtype_policy, "float32"),
    ]
    before = [(put, get()) for get, put, _ in pairs]
    try:
        for _, put, usual in pairs:
            put(usual)
        yield
    finally:
        for put, value in before:
            put(value)


def _uniform(fan_in: int) -> keras.initializers.Initializer:
    """PyTorch's default start of a layer's weights and biases: uniform within 1 / sqrt(fan_in)."""
    limit = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-limit, limit)


def conv(
    in_filters: int, filters: int, size: int, *, strides: int = 1, padding="same", use_bias=True, **kwargs
) -> keras.layers.Conv2D:
    """A convolution that starts as PyTorch's does."""
    start = _uniform(in_filters * size * size)
    return keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding=padding,
        data_format="channels_last",
        use_bias=use_bias,
        kernel_initializer=start,
        bias_initializer=start,
        **kwargs,
    )


def dense(in_units: int, units: int, *, zero: bool = False, **kwargs) -> keras.layers.Dense:
    """A linear layer that starts as PyTorch's does, or at zero."""
    start = keras.initializers.Zeros() if zero else _uniform(in_units)
    return keras.layers.Dense(units, kernel_initializer=start, bias_initializer=start, **kwargs)


def leaky_relu(x: tf.Tensor) -> tf.Tensor:
    """Leaky ReLU with the published slope of 0.2; TensorFlow's own has a float32 slope for float64 features too."""
    return tf.where(x > 0, x, LEAK * x) if x.dtype == tf.float64 else _leaky_relu(x)


@tf.custom_gradient
def _leaky_relu(x):
    """Its gradient has no gradient by x. TensorFlow's has one of zeros, which the gradient penalty would carry back
    through every layer: the time of a whole pass and of its weights' gradients, for nothing."""

    y = tf.nn.leaky_relu(x, LEAK)

    def gradient(by_y):
        # y has the sign of x, and is kept anyway for what comes next.
        return tf.raw_ops.LeakyReluGrad(gradients=by_y, features=tf.stop_gradient(y), alpha=LEAK)

    return y, gradient


def at_least_float32(x: tf.Tensor) -> tf.Tensor:
    """x in float32, unless it is float64: what leaves a network of any dtype policy."""
    x = tf.convert_to_tensor(x)
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)


@tf.custom_gradient
def upsample_nearest(x: tf.Tensor) -> tf.Tensor:
    """(B, h, w, C) -> (B, 2h, 2w, C), each pixel four times.

    By broadcasting, because the gradient of TensorFlow's nearest resize does not compile with XLA. The gradient of
    broadcasting is a sum over two axes in the middle, which takes many times as long as the pool that adds up the same.
    """

    def gradient(by_large):
        return 4 * tf.nn.avg_pool2d(by_large, 2, 2, "VALID")

    batch = tf.shape(x)[0]
    _, height, width, channels = x.shape
    tiled = tf.broadcast_to(x[:, :, None, :, None, :], [batch, height, 2, width, 2, channels])
    return tf.reshape(tiled, [batch, 2 * height, 2 * width, channels]), gradient


def upsample_bilinear(x: tf.Tensor) -> tf.Tensor:
    """(B, h, w, 1) -> (B, 2h, 2w, 1), bilinear with corners aligned, as the published masks are enlarged.

    `tf.image.resize` has no aligned corners and computes in float32 only: two small matrices do both.
    """
    rows, columns = (tf.constant(_aligned_interpolation(size), x.dtype) for size in x.shape[1:3])
    return tf.einsum("ih,bhwc,jw->bijc", rows, x, columns)


def _aligned_interpolation(size: int) -> np.ndarray:
    return interpolation(np.arange(2 * size) * (size - 1) / (2 * size - 1), size)


def interpolation(position: np.ndarray, size: int) -> np.ndarray:
    """(n, size) float64: row i holds the weights of `size` pixels at position[i], linear between two pixels."""
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(size)[None, :]))
