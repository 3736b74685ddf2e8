"""A small image encoder, trained from scratch: for pictures of 64 or 128 pixels, small data and CPUs."""

from __future__ import annotations

import keras
import tensorflow as tf

from ssagan_tf.core.arguments import check_sizes
from ssagan_tf.networks.layers import BatchNorm
from ssagan_tf.networks.primitives import at_least_float32, conv, dense, leaky_relu, register, stated

# Of each convolution: its filters in parts of `base_filters`, its size, its stride. Regions come from the last but one.
_CONVS = ((1, 4, 2), (2, 4, 2), (2, 3, 1), (4, 4, 2), (4, 3, 1), (8, 4, 2))
_SHRUNK = 16  # pixels to a place of the last one


@register
class CompactImageEncoder(keras.Model):
    """Six convolutions, in the place of `ImageEncoder`'s Inception.

    Args:
        embedding_dim: size D of regions and code, that of the words and sentences that they are compared with.
        image_size: height and width S of the pictures.
        base_filters: channels of the first convolution.
        dtype: dtype policy or its name.

    Call: images (B, S, S, 3) in [-1, 1] -> (regions (B, S/8, S/8, D), code (B, D)).
    """

    def __init__(self, embedding_dim: int = 256, image_size: int = 64, base_filters: int = 16, **kwargs):
        super().__init__(**stated(kwargs))
        check_sizes(embedding_dim=embedding_dim, image_size=image_size, base_filters=base_filters)
        policy = self.dtype_policy

        # === Layers ===
        widths = [3, *(base_filters * parts for parts, _, _ in _CONVS)]
        self.convs = [
            conv(before, after, size, strides=stride, use_bias=False, name=f"conv_{index}", dtype=policy)
            for index, (before, after, (_, size, stride)) in enumerate(zip(widths, widths[1:], _CONVS, strict=False))
        ]
        self.norms = [BatchNorm(name=f"norm_{index}", dtype=policy) for index in range(len(self.convs))]
        self.to_regions = conv(widths[-2], embedding_dim, 1, use_bias=False, name="to_regions", dtype=policy)
        self.cells = max(1, image_size // _SHRUNK) ** 2
        self.to_code = dense(self.cells * widths[-1], embedding_dim, name="to_code", dtype=policy)

        # === Config ===
        self.embedding_dim = embedding_dim
        self.image_size = image_size
        self.base_filters = base_filters
        self.build((None, image_size, image_size, 3))

    def build(self, images_shape=None):
        filters = 3
        for layer, norm in zip(self.convs, self.norms, strict=True):
            layer.build((None, None, None, filters))
            filters = layer.filters
            norm.build((None, None, None, filters))
        self.to_regions.build((None, None, None, self.convs[-2].filters))
        self.to_code.build((None, self.cells * filters))
        self.built = True

    def compute_output_shape(self, images_shape):
        batch, side = images_shape[0], self.image_size // 8
        return (batch, side, side, self.embedding_dim), (batch, self.embedding_dim)

    def call(self, images, training=False):
        x, seen = images, None
        for layer, norm in zip(self.convs, self.norms, strict=True):
            seen, x = x, leaky_relu(norm(layer(x), training=training))
        # Of all places, not of their mean, in which the shape of a beak is lost.
        code = self.to_code(tf.reshape(x, [-1, self.cells * x.shape[-1]]))
        return at_least_float32(self.to_regions(seen)), at_least_float32(code)

    def get_config(self):
        return {
            **super().get_config(),
            "embedding_dim": self.embedding_dim,
            "image_size": self.image_size,
            "base_filters": self.base_filters,
        }
