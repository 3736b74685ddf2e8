"""The generator (published `NetG`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from ssagan_tf.core.arguments import check_sizes
from ssagan_tf.errors import UserError
from ssagan_tf.networks import fast
from ssagan_tf.networks.layers import BatchNorm, MaskPredictor, SSACNBlock
from ssagan_tf.networks.primitives import (
    at_least_float32,
    conv,
    dense,
    register,
    stated,
    upsample_bilinear,
)
from ssagan_tf.networks.remat import recomputed

FIRST_SIZE = 4  # height and width of the first features


def check_size(image_size: int, base_filters: int) -> int:
    """log2 of the image size; raises UserError unless both can be built."""
    given: dict[str, object] = {"image_size": image_size, "base_filters": base_filters}
    check_sizes(**{name: size for name, size in given.items() if not isinstance(size, int)})
    if image_size < 8 or image_size & (image_size - 1):
        raise UserError(
            f"The image size must be a power of two, 8 or more. Received: {image_size}. Use 64, 128 or 256."
        )
    if base_filters < 1:
        raise UserError(f"The base width must be positive. Received: {base_filters}. Use 32 or 64.")
    return int(math.log2(image_size))


def added_blocks(image_size: int, grown_from: int | None) -> int:
    """How many blocks a network has more since it was one for smaller pictures; raises UserError if that cannot be."""
    if grown_from is None:
        return 0
    if check_size(grown_from, 1) > check_size(image_size, 1):
        raise UserError(
            f"A network grows to larger pictures. Received: image_size={image_size}, grown_from={grown_from}. "
            "Use a larger image_size."
        )
    return check_size(image_size, 1) - check_size(grown_from, 1)


def overrides_at(overrides: tf.Tensor, size: int) -> tf.Tensor:
    """What replaces the mask of `size` by `size`: that of the picture, (B, S, S, 1), made smaller.

    A cell has the mean of its pixels that are not negative if they are half of it or more, else -1.
    """
    factor = overrides.shape[1] // size
    if factor == 1:
        return overrides
    held = tf.nn.avg_pool2d(tf.cast(overrides >= 0, overrides.dtype), factor, factor, "VALID")
    total = tf.nn.avg_pool2d(tf.maximum(overrides, 0), factor, factor, "VALID")
    return tf.where(held < 0.5, -tf.ones_like(held), total / tf.maximum(held, 0.5))


Block = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]]


def draw_blocks(
    x: tf.Tensor,
    logits: tf.Tensor | None,
    blocks: Sequence[Block],
    mask_overrides: Sequence[tf.Tensor | None] | None = None,
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """Runs the generator's blocks one after the other, each with the mask that the one before it predicts.

    Args:
        x: the first features (B, 4, 4, C).
        logits: of the first mask (B, 4, 4, 1); None: it is one everywhere, and so are those after it.
        blocks: each from features (B, h, w, C) and mask (B, H, H, 1) to features (B, H, H, F) and the next mask's
            logits (B, H, H, 1), or None. H is 4 for the first, and doubles from block to block.
        mask_overrides: see `Generator`.

    Returns:
        The last features, and the masks, at least float32.
    """
    masks: list[tf.Tensor] = []
    for index, (block, override) in enumerate(zip(blocks, mask_overrides or [None] * len(blocks), strict=True)):
        size = FIRST_SIZE * 2**index
        if logits is None:
            mask = at_least_float32(tf.ones([tf.shape(x)[0], size, size, 1], x.dtype))
        else:
            mask = tf.sigmoid(at_least_float32(upsample_bilinear(logits) if index else logits))
        if override is not None:
            override = tf.cast(override, mask.dtype)
            mask = tf.where(override < 0, mask, override)
        masks.append(mask)
        x, logits = block(x, tf.cast(mask, x.dtype))
    return x, tuple(masks)


@register
class Generator(keras.Model):
    """From noise and a sentence to a picture, and the masks that say where the sentence acted.

    Args:
        base_filters: base width nf; 64 in the paper, 32 in the published code's default.
        image_size: height and width S of the picture, a power of two; published at 256.
        noise_dim: size of the noise.
        sentence_dim: size of the sentence embedding.
        mask_filters: hidden channels of the mask predictors; 100 as published, fewer are faster.
        mask_blocks: only so many blocks, the first, have a mask; in the others the text acts everywhere alike (plain
            conditional batch norm: a mask of ones). None: all have one, as published.
        grown_from: an image size for which the widths are those of a smaller generator, one that has grown: the blocks
            that it has more, the last, keep the width nf. None: it has not.
        dtype: dtype policy or its name.

    Call: noise (B, noise_dim), sentence (B, sentence_dim) -> (image (B, S, S, 3) in [-1, 1], masks: tuple of
    (B, h, h, 1) in [0, 1] for h = 4, 8, ..., S). Both are at least float32.

    `mask_overrides` takes masks from outside: for each block a mask (B, h, h, 1), or (1, h, h, 1) for all pictures,
    that stands in for the predicted one wherever it is not negative, or None. Masks after it are predicted from what it
    made of the features. `overrides_at` makes one for each block of one for all.
    With `checkpointing` the blocks' features are computed again for the gradient instead of kept.

    Raises:
        UserError: an image size that is no power of two, a width below 1.
    """

    def __init__(
        self,
        base_filters: int = 64,
        image_size: int = 256,
        noise_dim: int = 100,
        sentence_dim: int = 256,
        mask_filters: int = 100,
        mask_blocks: int | None = None,
        grown_from: int | None = None,
        **kwargs,
    ):
        super().__init__(**stated(kwargs))
        check_sizes(noise_dim=noise_dim, sentence_dim=sentence_dim, mask_filters=mask_filters)
        if mask_blocks is not None and mask_blocks != 0:
            check_sizes(mask_blocks=mask_blocks)
        blocks = check_size(image_size, base_filters) - 1
        started = blocks - added_blocks(image_size, grown_from)
        widths = [base_filters * min(8, 2 ** max(0, started - 1 - index)) for index in range(blocks)]
        policy = self.dtype_policy

        # === Layers ===
        self.first_filters = 8 * base_filters
        in_widths = [self.first_filters, *widths[:-1]]
        self.project = dense(noise_dim, FIRST_SIZE**2 * self.first_filters, name="project", dtype=policy)
        masked = blocks if mask_blocks is None else mask_blocks
        self.first_mask = None
        if masked > 0:
            self.first_mask = MaskPredictor(self.first_filters, mask_filters, name="first_mask", dtype=policy)
        self.blocks = [
            SSACNBlock(
                in_filters,
                filters,
                sentence_dim,
                mask_filters if index + 1 < min(masked, blocks) else None,
                enlarge=index > 0,
                name=f"block_{index}",
                dtype=policy,
            )
            for index, (in_filters, filters) in enumerate(zip(in_widths, widths, strict=True))
        ]
        self.norm = BatchNorm(name="norm", dtype=policy)
        self.to_rgb = conv(widths[-1], 3, 3, name="to_rgb", dtype=policy)

        # === Config ===
        self.base_filters = base_filters
        self.image_size = image_size
        self.noise_dim = noise_dim
        self.sentence_dim = sentence_dim
        self.mask_filters = mask_filters
        self.mask_blocks = mask_blocks
        self.grown_from = grown_from
        self.build((None, noise_dim), (None, sentence_dim))

    def build(self, noise_shape=None, sentence_shape=None):
        self.project.build((None, self.noise_dim))
        size = FIRST_SIZE
        if self.first_mask is not None:
            self.first_mask.build((None, size, size, self.first_filters))
        for block in self.blocks:
            block.build((None, size, size, block.in_filters))
            size *= 2 if block.enlarge else 1
        out_shape = (None, self.image_size, self.image_size, self.blocks[-1].filters)
        self.norm.build(out_shape)
        self.to_rgb.build(out_shape)
        self.built = True

    def compute_output_shape(self, noise_shape, sentence_shape=None):
        sizes = [FIRST_SIZE * 2**index for index in range(len(self.blocks))]
        masks = tuple((noise_shape[0], size, size, 1) for size in sizes)
        return (noise_shape[0], self.image_size, self.image_size, 3), masks

    def call(
        self,
        noise,
        sentence,
        training=False,
        mask_overrides: Sequence[tf.Tensor | None] | None = None,
        checkpointing: bool = False,
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        x = self.project(noise)
        # The published reshape is to channels, height, width.
        x = tf.reshape(x, [-1, self.first_filters, FIRST_SIZE, FIRST_SIZE])
        x = tf.transpose(x, [0, 2, 3, 1])
        logits = None if self.first_mask is None else fast.mask_logits(self.first_mask, x, training=training)
        compute = _recomputed_block if checkpointing else fast.generator_block

        def of(block):
            return lambda x, mask: compute(block, x, sentence, mask, training=training)

        x, masks = draw_blocks(x, logits, [of(block) for block in self.blocks], mask_overrides)
        x = fast.picture(self.norm, self.to_rgb, x, training=training)
        return tf.tanh(at_least_float32(x)), masks

    def get_config(self):
        return {
            **super().get_config(),
            "base_filters": self.base_filters,
            "image_size": self.image_size,
            "noise_dim": self.noise_dim,
            "sentence_dim": self.sentence_dim,
            "mask_filters": self.mask_filters,
            "mask_blocks": self.mask_blocks,
            "grown_from": self.grown_from,
        }


def _recomputed_block(block, *inputs, training):
    out, *logits = recomputed(fast.generator_block, block, *inputs, training=training)
    return out, logits[0] if logits else None
