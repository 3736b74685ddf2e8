"""The discriminator (published `NetD`): does the picture look real, and does it fit the sentence?"""

from __future__ import annotations

import keras
import tensorflow as tf

from ssagan_tf.core.arguments import check_sizes
from ssagan_tf.networks.generator import added_blocks, check_size
from ssagan_tf.networks.layers import DownBlock
from ssagan_tf.networks.primitives import at_least_float32, conv, leaky_relu, register, stated

_LAST_SIZE = 4  # height and width of the features


@register
class Discriminator(keras.Model):
    """Features of a picture, then one logit for picture and sentence together.

    Args:
        base_filters: base width nf.
        image_size: height and width S of the pictures, a power of two; published at 256.
        sentence_dim: size of the sentence embedding.
        grown_from: as of the generator; the blocks that it has more are the first, of the width nf.
        dtype: dtype policy or its name.

    Call: images (B, S, S, 3) in [-1, 1], sentence (B, sentence_dim) -> logits (B,). The two halves are public:
    `features(images)` -> (B, 4, 4, F) and `logits(features, sentence)` -> (B,).

    Raises:
        UserError: an image size that is no power of two, a width below 1.
    """

    def __init__(
        self,
        base_filters: int = 64,
        image_size: int = 256,
        sentence_dim: int = 256,
        grown_from: int | None = None,
        **kwargs,
    ):
        super().__init__(**stated(kwargs))
        check_sizes(sentence_dim=sentence_dim)
        count = check_size(image_size, base_filters) - 2
        added = added_blocks(image_size, grown_from)
        widths = [base_filters * min(16, 2 ** max(0, index + 1 - added)) for index in range(count)]
        in_widths = [base_filters, *widths[:-1]]
        policy = self.dtype_policy

        # === Layers ===
        self.from_rgb = conv(3, base_filters, 3, name="from_rgb", dtype=policy)
        self.blocks = [
            DownBlock(in_filters, filters, name=f"block_{index}", dtype=policy)
            for index, (in_filters, filters) in enumerate(zip(in_widths, widths, strict=True))
        ]
        joint = widths[-1] + sentence_dim
        head = 2 * base_filters
        self.joint = conv(joint, head, 3, use_bias=False, name="joint", dtype=policy)
        self.out = conv(head, 1, _LAST_SIZE, padding="valid", use_bias=False, name="out", dtype=policy)

        # === Config ===
        self.base_filters = base_filters
        self.image_size = image_size
        self.sentence_dim = sentence_dim
        self.grown_from = grown_from
        self.build((None, image_size, image_size, 3), (None, sentence_dim))

    def build(self, images_shape=None, sentence_shape=None):
        size = self.image_size
        self.from_rgb.build((None, size, size, 3))
        for block in self.blocks:
            block.build((None, size, size, block.in_filters))
            size //= 2
        self.joint.build((None, size, size, self.blocks[-1].filters + self.sentence_dim))
        self.out.build((None, size, size, self.joint.filters))
        self.built = True

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """(B, S, S, 3) -> (B, 4, 4, F)."""
        x = self.from_rgb(images)
        for block in self.blocks:
            x = block(x)
        return x

    def logits(self, features: tf.Tensor, sentence: tf.Tensor) -> tf.Tensor:
        """(B, 4, 4, F), (B, sentence_dim) -> (B,), at least float32."""
        batch = tf.shape(features)[0]
        sentence = tf.cast(sentence, features.dtype)[:, None, None, :]
        sentence = tf.broadcast_to(sentence, [batch, _LAST_SIZE, _LAST_SIZE, self.sentence_dim])
        x = leaky_relu(self.joint(tf.concat([features, sentence], -1)))
        return at_least_float32(tf.reshape(self.out(x), [batch]))

    def compute_output_shape(self, images_shape, sentence_shape=None):
        return (images_shape[0],)

    def call(self, images, sentence):
        return self.logits(self.features(images), sentence)

    def get_config(self):
        return {
            **super().get_config(),
            "base_filters": self.base_filters,
            "image_size": self.image_size,
            "sentence_dim": self.sentence_dim,
            "grown_from": self.grown_from,
        }
