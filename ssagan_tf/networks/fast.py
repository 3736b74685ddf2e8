"""How the generator is computed: what its layers say (`layers.py`), with less work and in less memory.

The tricks are on unless `without` switches them off, and change nothing but rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from ssagan_tf.networks import winograd
from ssagan_tf.networks.layers import SSCBN, BatchNorm, MaskPredictor, SSACNBlock
from ssagan_tf.networks.primitives import leaky_relu, upsample_nearest

TRICKS = {
    "reorder": "a block's shortcut, batch norm and the text's scale and shift come before it enlarges, on a quarter of "
    "the pixels; the residual gate multiplies the last convolution's weights, not features",
    "remat": "features between a batch norm and a convolution are computed again for the gradient instead of kept",
    "winograd": "without gradients, wide convolutions take a quarter of the multiplications, see `winograd`",
}
_off: frozenset[str] = frozenset()


@contextlib.contextmanager
def without(*tricks: str) -> Iterator[None]:
    """Switches tricks off for what is computed, or traced, within it; without "reorder", layers run as they are."""
    global _off
    unknown = {*tricks} - {*TRICKS}
    if unknown:
        raise ValueError(f"No such tricks: {sorted(unknown)}")
    before, _off = _off, _off | {*tricks}
    try:
        yield
    finally:
        _off = before


def generator_block(block: SSACNBlock, x, sentence, mask, training: bool = False):
    """As `block(x, sentence, mask)`.

    Where features are enlarged, the mask is all that differs among the four pixels that one becomes. So SSCBN is
    computed as xhat + mask * (xhat * g(s) + b(s)), of which all but the mask's part is done before.
    """
    if "reorder" in _off:
        return block(x, sentence, mask, training=training)
    enlarged = upsample_nearest if block.enlarge else tf.identity
    shortcut = x if block.shortcut is None else block.shortcut(x)
    kernel, bias = _weights(block.conv1, x.dtype)
    residual = _modulated_conv(block.norm1, x, sentence, mask, kernel, bias, training, block.enlarge)
    kernel, bias = _weights(block.conv2, x.dtype)
    gate = tf.cast(block.gate, x.dtype)
    residual = _modulated_conv(block.norm2, residual, sentence, mask, gate * kernel, gate * bias, training)
    out = enlarged(shortcut) + residual
    return out, None if block.mask is None else mask_logits(block.mask, out, training=training)


def _modulated_conv(norm: SSCBN, x, sentence, mask, kernel, bias, training, enlarge=False):
    """The convolution of relu(norm(x, sentence, mask))."""

    def features(x, factor, offset, scale, shift, mask):
        x = x * factor + offset
        change = x * scale + shift
        if enlarge:
            x, change = upsample_nearest(x), upsample_nearest(change)
        return tf.nn.relu(x + mask * change)

    parts = norm.norm.parts(x, training=training, copies=4 if enlarge else 1)
    return _conv(features, kernel, bias, *parts, *norm.modulation(sentence), mask, training=training)


def mask_logits(predictor: MaskPredictor, features, training: bool = False):
    """As `predictor(features)`."""
    if "reorder" in _off:
        return predictor(features, training=training)
    hidden = predictor.hidden(features)
    kernel, bias = _weights(predictor.out, hidden.dtype)
    return _normalised_conv(tf.nn.relu, predictor.norm, hidden, kernel, bias, training)


def picture(norm: BatchNorm, to_rgb, x, training: bool = False):
    """As `to_rgb(leaky_relu(norm(x)))`, the generator's last layers."""
    if "reorder" in _off:
        return to_rgb(leaky_relu(norm(x, training=training)))
    return _normalised_conv(leaky_relu, norm, x, *_weights(to_rgb, x.dtype), training)


def _normalised_conv(activation, norm: BatchNorm, x, kernel, bias, training):
    """The convolution of activation(norm(x))."""

    def features(x, factor, offset):
        return activation(x * factor + offset)

    return _conv(features, kernel, bias, *norm.parts(x, training=training), training=training)


def _conv(features: Callable, kernel, bias, *inputs, training):
    """A convolution of features(*inputs). The gradient needs the features, but not the convolution's result."""

    def convolved(kernel, bias, *inputs):
        x = features(*inputs)
        # Training has it direct: Winograd's gradients would round more, and keep more features.
        if training or "winograd" in _off or not winograd.pays(x, kernel):
            return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
        return tf.nn.bias_add(winograd.conv3x3(x, kernel), bias)

    if "remat" not in _off:
        convolved = tf.recompute_grad(convolved)
    return convolved(kernel, bias, *inputs)


def _weights(layer, dtype) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.cast(layer.kernel, dtype), tf.cast(layer.bias, dtype)
