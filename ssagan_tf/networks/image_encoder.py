"""The image encoder (published `CNN_ENCODER`): a picture to region features and one code, by Inception v3."""

from __future__ import annotations

import re
import typing

import keras
import numpy as np
import tensorflow as tf

from ssagan_tf.core.arguments import check_sizes
from ssagan_tf.errors import UserError
from ssagan_tf.networks.layers import BatchNorm
from ssagan_tf.networks.primitives import at_least_float32, interpolation, keras_defaults, register, stated

INCEPTION_SIZE = 299  # height and width of the pictures that Inception sees
_HEAD_RANGE = 0.1


class Unit(typing.NamedTuple):
    """A convolution with batch norm and ReLU, under torchvision's name."""

    name: str
    filters: int
    size: int | tuple[int, int]
    strides: int = 1
    padding: str = "same"


# === torchvision's Inception v3 up to Mixed_7c, without classifier and auxiliary head ===
#
# A block is a list of branches, whose results stand one after the other in its result; a branch is a list of stages;
# a stage is a unit, a pool, or a tuple of units that all see the same and stand one after the other.

_AVERAGE, _MAXIMUM = "average", "maximum"

_STEM = [
    Unit("Conv2d_1a_3x3", 32, 3, 2, "valid"),
    Unit("Conv2d_2a_3x3", 32, 3, 1, "valid"),
    Unit("Conv2d_2b_3x3", 64, 3),
    _MAXIMUM,
    Unit("Conv2d_3b_1x1", 80, 1, 1, "valid"),
    Unit("Conv2d_4a_3x3", 192, 3, 1, "valid"),
    _MAXIMUM,
]


def _block_a(pool_filters: int):
    return [
        [Unit("branch1x1", 64, 1)],
        [Unit("branch5x5_1", 48, 1), Unit("branch5x5_2", 64, 5)],
        [Unit("branch3x3dbl_1", 64, 1), Unit("branch3x3dbl_2", 96, 3), Unit("branch3x3dbl_3", 96, 3)],
        [_AVERAGE, Unit("branch_pool", pool_filters, 1)],
    ]


def _block_b():
    return [
        [Unit("branch3x3", 384, 3, 2, "valid")],
        [Unit("branch3x3dbl_1", 64, 1), Unit("branch3x3dbl_2", 96, 3), Unit("branch3x3dbl_3", 96, 3, 2, "valid")],
        [_MAXIMUM],
    ]


def _block_c(filters: int):
    row, column = (1, 7), (7, 1)
    return [
        [Unit("branch1x1", 192, 1)],
        [Unit("branch7x7_1", filters, 1), Unit("branch7x7_2", filters, row), Unit("branch7x7_3", 192, column)],
        [
            Unit("branch7x7dbl_1", filters, 1),
            Unit("branch7x7dbl_2", filters, column),
            Unit("branch7x7dbl_3", filters, row),
            Unit("branch7x7dbl_4", filters, column),
            Unit("branch7x7dbl_5", 192, row),
        ],
        [_AVERAGE, Unit("branch_pool", 192, 1)],
    ]


def _block_d():
    return [
        [Unit("branch3x3_1", 192, 1), Unit("branch3x3_2", 320, 3, 2, "valid")],
        [
            Unit("branch7x7x3_1", 192, 1),
            Unit("branch7x7x3_2", 192, (1, 7)),
            Unit("branch7x7x3_3", 192, (7, 1)),
            Unit("branch7x7x3_4", 192, 3, 2, "valid"),
        ],
        [_MAXIMUM],
    ]


def _block_e():
    row, column = (1, 3), (3, 1)
    return [
        [Unit("branch1x1", 320, 1)],
        [Unit("branch3x3_1", 384, 1), (Unit("branch3x3_2a", 384, row), Unit("branch3x3_2b", 384, column))],
        [
            Unit("branch3x3dbl_1", 448, 1),
            Unit("branch3x3dbl_2", 384, 3),
            (Unit("branch3x3dbl_3a", 384, row), Unit("branch3x3dbl_3b", 384, column)),
        ],
        [_AVERAGE, Unit("branch_pool", 192, 1)],
    ]


_BLOCKS = {
    "Mixed_5b": _block_a(32),
    "Mixed_5c": _block_a(64),
    "Mixed_5d": _block_a(64),
    "Mixed_6a": _block_b(),
    "Mixed_6b": _block_c(128),
    "Mixed_6c": _block_c(160),
    "Mixed_6d": _block_c(160),
    "Mixed_6e": _block_c(192),
    "Mixed_7a": _block_d(),
    "Mixed_7b": _block_e(),
    "Mixed_7c": _block_e(),
}
_REGION_BLOCK = "Mixed_6e"


@register
class ConvUnit(keras.layers.Layer):
    """Convolution without bias, batch norm with epsilon 0.001, ReLU (torchvision's `BasicConv2d`).

    Call: x (B, h, w, C) -> (B, h', w', filters).
    """

    def __init__(self, filters: int, size: int | tuple[int, int], strides: int = 1, padding: str = "same", **kwargs):
        super().__init__(**stated(kwargs))
        self.filters = filters
        self.size = size
        self.strides = strides
        self.padding = padding
        self.conv = keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding=padding,
            data_format="channels_last",
            use_bias=False,
            # Keeps the size of the features through all of the network, so that even random weights are usable.
            kernel_initializer="he_normal",
            name="conv",
            dtype=self.dtype_policy,
        )
        self.norm = BatchNorm(epsilon=0.001, name="norm", dtype=self.dtype_policy)

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))

    def call(self, x, training=False):
        return tf.nn.relu(self.norm(self.conv(x), training=training))

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "size": self.size,
            "strides": self.strides,
            "padding": self.padding,
        }


@register
class ImageEncoder(keras.Model):
    """Inception v3 as torchvision builds it, and two heads, the only weights that are trained.

    Args:
        embedding_dim: size D of region features and code.
        weights: None to start at random, or "imagenet": Keras Applications' weights (downloaded by Keras; the heads
            still start at random).
        count_padding: whether the 3x3 average pools of the pool branches divide by 9 at the borders too, as published
            (torchvision's default), or by the number of real pixels, as Keras Applications' graph does. Default: what
            the weights were trained with, so False for "imagenet" and True otherwise. It is a part of the model, since
            it is no border effect: with random weights the other choice moves the 2048 pooled features by 7 %.
        dtype: dtype policy or its name.

    Call: images (B, S, S, 3) in [-1, 1] -> (regions (B, 17, 17, D) from Mixed_6e, code (B, D) from Mixed_7c). They are
    enlarged to 299 x 299, bilinear, half-pixel centres, without antialiasing. `training=True` is the published quirk:
    batch norms of the frozen weights use and move batch statistics.

    Raises:
        UserError: no such weights, or they cannot be downloaded.
    """

    def __init__(
        self, embedding_dim: int = 256, weights: str | None = None, count_padding: bool | None = None, **kwargs
    ):
        super().__init__(**stated(kwargs))
        check_sizes(embedding_dim=embedding_dim)
        if weights not in (None, "imagenet"):
            raise UserError(f"No such image encoder weights. Received: {weights!r}. Use None or 'imagenet'.")
        inception = _keras_inception() if weights == "imagenet" else None
        policy = self.dtype_policy

        # === Layers ===
        self.units = {
            name: ConvUnit(*unit[1:], name=name.replace(".", "_"), dtype=policy) for name, unit in _all_units()
        }
        start = keras.initializers.RandomUniform(-_HEAD_RANGE, _HEAD_RANGE)
        self.region_head = keras.layers.Conv2D(
            embedding_dim,
            1,
            data_format="channels_last",
            use_bias=False,
            kernel_initializer=start,
            name="region_head",
            dtype=policy,
        )
        self.code_head = keras.layers.Dense(embedding_dim, kernel_initializer=start, name="code_head", dtype=policy)

        # === Config ===
        self.embedding_dim = embedding_dim
        self.count_padding = inception is None if count_padding is None else count_padding
        self.build((None, INCEPTION_SIZE, INCEPTION_SIZE, 3))
        if inception is not None:
            self.copy_from_keras(inception)

    def build(self, images_shape=None):
        channels = self._build_branch([*_STEM], "", 3)
        for name, branches in _BLOCKS.items():
            channels = sum(self._build_branch(branch, f"{name}.", channels) for branch in branches)
            if name == _REGION_BLOCK:
                self.region_head.build((None, None, None, channels))
        self.code_head.build((None, channels))
        for unit in self.units.values():
            unit.trainable = False
        self.built = True

    def compute_output_shape(self, images_shape):
        return (images_shape[0], 17, 17, self.embedding_dim), (images_shape[0], self.embedding_dim)

    def _build_branch(self, stages, prefix: str, channels: int) -> int:
        """Builds a branch's units for that many channels -> channels of its result."""
        for stage in stages:
            units = _units_of(stage)
            for unit in units:
                self.units[prefix + unit.name].build((None, None, None, channels))
            channels = sum(unit.filters for unit in units) or channels
        return channels

    def call(self, images, training=False):
        middle, pooled = self.trunk(images, training)
        return at_least_float32(self.region_head(middle)), at_least_float32(self.code_head(pooled))

    def trunk(self, images, training=False):
        """Inception without our heads: images -> (Mixed_6e (B, 17, 17, 768), mean over Mixed_7c (B, 2048))."""
        x = self._branch(_enlarge(tf.cast(images, self.compute_dtype)), _STEM, "", training)
        for name, branches in _BLOCKS.items():
            x = tf.concat([self._branch(x, branch, f"{name}.", training) for branch in branches], -1)
            if name == _REGION_BLOCK:
                middle = x
        return middle, tf.reduce_mean(x, [1, 2])

    def _branch(self, x, stages, prefix: str, training):
        for stage in stages:
            if stage == _AVERAGE:
                x = self._average_pool(x)
            elif stage == _MAXIMUM:
                x = tf.nn.max_pool2d(x, 3, 2, "VALID")
            else:
                units = _units_of(stage)
                results = [self.units[prefix + unit.name](x, training=training) for unit in units]
                x = results[0] if len(results) == 1 else tf.concat(results, -1)
        return x

    def _average_pool(self, x):
        if self.count_padding:
            return tf.nn.avg_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 1, "VALID")
        return tf.nn.avg_pool2d(x, 3, 1, "SAME")

    def copy_from_keras(self, inception: keras.Model) -> None:
        """Takes the weights of `keras.applications.InceptionV3` (with or without its top) over.

        Its convolutions and batch norms, each kind in the order of the numbers in their names, are torchvision's units
        in their order. Its batch norms have no scale, so ours is 1. The same function follows only if this encoder was
        built with `count_padding=False`: else features differ, by more than at the borders.
        """
        convolutions = _numbered(inception, keras.layers.Conv2D)
        norms = _numbered(inception, keras.layers.BatchNormalization)
        for unit, convolution, norm in zip(self.units.values(), convolutions, norms, strict=True):
            unit.conv.kernel.assign(convolution.kernel)
            unit.norm.scale.assign(tf.ones_like(unit.norm.scale))
            unit.norm.shift.assign(norm.beta)
            unit.norm.running_mean.assign(norm.moving_mean)
            unit.norm.running_variance.assign(norm.moving_variance)
            unit.norm.batches.assign(0)

    def get_config(self):
        # Without `weights`: who restores the model restores these, and need not download them first.
        return {
            **super().get_config(),
            "embedding_dim": self.embedding_dim,
            "count_padding": self.count_padding,
        }


def _units_of(stage) -> tuple[Unit, ...]:
    """The units of a stage; none of a pool."""
    if isinstance(stage, Unit):
        return (stage,)
    return () if isinstance(stage, str) else stage


def _all_units() -> list[tuple[str, Unit]]:
    """(name, unit) of all 94, in torchvision's order."""
    named = [("", stage) for stage in _STEM]
    named += [(f"{name}.", stage) for name, branches in _BLOCKS.items() for branch in branches for stage in branch]
    return [(prefix + unit.name, unit) for prefix, stage in named for unit in _units_of(stage)]


def _enlarge(images: tf.Tensor) -> tf.Tensor:
    """(B, h, w, 3) -> (B, 299, 299, 3), bilinear with half-pixel centres, without antialiasing.

    By two small matrices, because `tf.image.resize` computes in float32 whatever it is given.
    """
    if images.shape[1:3] == (INCEPTION_SIZE, INCEPTION_SIZE):
        return images
    x = at_least_float32(images)
    rows, columns = (tf.constant(_half_pixel_interpolation(size), x.dtype) for size in x.shape[1:3])
    return tf.cast(tf.einsum("ih,bhwc,jw->bijc", rows, x, columns), images.dtype)


def _half_pixel_interpolation(size: int) -> np.ndarray:
    position = (np.arange(INCEPTION_SIZE) + 0.5) * size / INCEPTION_SIZE - 0.5
    return interpolation(np.clip(position, 0, size - 1), size)


def _numbered(model: keras.Model, kind: type) -> list[keras.layers.Layer]:
    """The layers of a kind by the number in their names (none: first), which is the order of their making."""
    layers = [layer for layer in model.layers if isinstance(layer, kind)]
    return sorted(layers, key=lambda layer: int((re.search(r"_(\d+)$", layer.name) or [0, 0])[1]))


def _keras_inception() -> keras.Model:
    try:
        with keras_defaults():
            return keras.applications.InceptionV3(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception if a download fails.
        raise UserError(
            f"Keras could not get the ImageNet weights. Received: {error}. Connect to the internet once, or use a "
            "published image encoder."
        ) from error
