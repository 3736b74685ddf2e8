"""The layers of SSA-GAN: batch norm, mask predictor, semantic-spatial conditional batch norm and the blocks of both
networks (Liao et al., CVPR 2022, sections 3.2 and 3.3; published `model.py`)."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ssagan_tf.networks.primitives import conv, dense, leaky_relu, register, stated, upsample_nearest


def _sum_of_pixels(x: tf.Tensor) -> tf.Tensor:
    """(B, h, w, C) -> (C,), in two steps: float32 sums of a few hundred terms lose less than those of all at once."""
    return tf.reduce_sum(tf.reduce_sum(x, [0, 1]), 0)


def _enlarged(shape, filters: int) -> tuple:
    return shape[0], *(side and 2 * side for side in shape[1:-1]), filters


@register
class BatchNorm(keras.layers.Layer):
    """Batch norm as PyTorch's: its running variance takes the unbiased estimate, which Keras's layer does not, and it
    counts the batches that it was trained on (`batches`), for nothing but to give published weights back whole.

    Under a `tf.distribute` strategy the statistics are those of the global batch.

    Args:
        affine: whether a trained scale and shift follow.
        epsilon: added to the variance.
        momentum: what remains of the running statistics in a training step.

    Call: x (B, h, w, C) -> the same shape and dtype. Statistics are float32, or float64 for a float64 layer. `copies`
    says how many equal pixels each one stands for, where x is enlarged only after the norm: mean and variance are the
    same before and after, and the unbiased variance is that of all pixels.
    """

    def __init__(self, affine: bool = True, epsilon: float = 1e-5, momentum: float = 0.9, **kwargs):
        super().__init__(**stated(kwargs))
        self.affine = affine
        self.epsilon = epsilon
        self.momentum = momentum

    def build(self, input_shape):
        shape = (input_shape[-1],)
        if self.affine:
            self.scale = self.add_weight(shape=shape, initializer="ones", autocast=False, name="scale")
            self.shift = self.add_weight(shape=shape, initializer="zeros", autocast=False, name="shift")
        else:
            # Constants of the variables' dtype: the fused kernel wants a scale and a shift all the same.
            self.scale = np.ones(shape, self.variable_dtype)
            self.shift = np.zeros(shape, self.variable_dtype)
        running = {"shape": shape, "trainable": False, "autocast": False, "aggregation": "mean"}
        self.running_mean = self.add_weight(initializer="zeros", name="running_mean", **running)
        self.running_variance = self.add_weight(initializer="ones", name="running_variance", **running)
        counter = {"dtype": "int64", "trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self.batches = self.add_weight(shape=(), initializer="zeros", name="batches", **counter)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x, training=False, copies=1):
        x, factor, offset = self.parts(x, training, copies)
        return x * factor + offset

    def parts(self, x, training=False, copies=1):
        """What the call's result is made of, `x * factor + offset`: x, and two of shape (C,)."""
        scale, shift = tf.convert_to_tensor(self.scale), tf.convert_to_tensor(self.shift)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        half = x.dtype in (tf.float16, tf.bfloat16)
        if training and replicas == 1 and (half or x.dtype == tf.float32 and tf.config.list_physical_devices("GPU")):
            # The fused kernel gives the unbiased variance, which is what the running statistics want. In float32 on a
            # CPU it is no faster, and adds up the squares of all pixels one after another, which loses two digits.
            y, mean, unbiased = tf.compat.v1.nn.fused_batch_norm(
                x, scale, shift, epsilon=self.epsilon, is_training=True
            )
            count = tf.cast(tf.size(x) // x.shape[-1], unbiased.dtype)
            self._move_statistics(mean, unbiased * (tf.maximum(count - 1, 1) / count), copies * count)
            return y, tf.ones([x.shape[-1]], y.dtype), tf.zeros([x.shape[-1]], y.dtype)
        if training:
            mean, variance, count = self._global_moments(tf.cast(x, scale.dtype), replicas)
            self._move_statistics(mean, variance, copies * count)
        else:
            mean = tf.convert_to_tensor(self.running_mean)
            variance = tf.convert_to_tensor(self.running_variance)
        factor = scale * tf.math.rsqrt(variance + self.epsilon)
        return x, tf.cast(factor, x.dtype), tf.cast(shift - mean * factor, x.dtype)

    def _global_moments(self, x, replicas):
        def over_replicas(value):
            return value if replicas == 1 else tf.distribute.get_replica_context().all_reduce("SUM", value)

        count = over_replicas(tf.cast(tf.size(x) // x.shape[-1], x.dtype))
        mean = over_replicas(_sum_of_pixels(x)) / count
        # By the mean its gradient is zero.
        squares = over_replicas(_sum_of_pixels(tf.math.squared_difference(x, tf.stop_gradient(mean))))
        return mean, squares / count, count

    def _move_statistics(self, mean, variance, count):
        unbiased = variance * (count / tf.maximum(count - 1, 1))
        for running, new in ((self.running_mean, mean), (self.running_variance, unbiased)):
            running.assign(running * self.momentum + tf.cast(new, running.dtype) * (1 - self.momentum))
        self.batches.assign_add(1)

    def get_config(self):
        return {
            **super().get_config(),
            "affine": self.affine,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
        }


@register
class MaskPredictor(keras.layers.Layer):
    """Where the text should act, from the features alone (published `conv_mask`).

    Args:
        in_filters: channels of the features.
        filters: hidden channels; 100 as published.

    Call: features (B, h, w, in_filters) -> logits (B, h, w, 1), before the sigmoid.
    """

    def __init__(self, in_filters: int, filters: int = 100, **kwargs):
        super().__init__(**stated(kwargs))
        self.in_filters = in_filters
        self.filters = filters
        self.hidden = conv(in_filters, filters, 3, name="hidden", dtype=self.dtype_policy)
        self.norm = BatchNorm(name="norm", dtype=self.dtype_policy)
        self.out = conv(filters, 1, 1, name="out", dtype=self.dtype_policy)

    def build(self, input_shape):
        self.hidden.build(input_shape)
        hidden_shape = (*input_shape[:-1], self.filters)
        self.norm.build(hidden_shape)
        self.out.build(hidden_shape)

    def compute_output_shape(self, input_shape):
        return *input_shape[:-1], 1

    def call(self, features, training=False):
        return self.out(tf.nn.relu(self.norm(self.hidden(features), training=training)))

    def get_config(self):
        return {**super().get_config(), "in_filters": self.in_filters, "filters": self.filters}


@register
class SSCBN(keras.layers.Layer):
    """Semantic-spatial conditional batch norm (published `affine`): the text scales and shifts where the mask says.

    `y = xhat * (g(s) * mask + 1) + b(s) * mask`, where xhat is x after batch norm without scale and shift. The code is
    followed, not the paper's equation: where the mask is 0 the features pass unchanged and the text has no effect.

    Args:
        filters: channels C of the features.
        sentence_dim: size of the sentence embedding; also the hidden size of g and b, as published.

    Call: x (B, h, w, C), sentence (B, sentence_dim), mask (B, h, w, 1) in [0, 1] -> (B, h, w, C).
    """

    def __init__(self, filters: int, sentence_dim: int = 256, **kwargs):
        super().__init__(**stated(kwargs))
        self.filters = filters
        self.sentence_dim = sentence_dim
        policy = self.dtype_policy
        self.norm = BatchNorm(affine=False, name="norm", dtype=policy)
        self.scale_hidden = dense(sentence_dim, sentence_dim, activation="relu", name="scale_hidden", dtype=policy)
        self.scale_out = dense(sentence_dim, filters, zero=True, name="scale_out", dtype=policy)
        self.shift_hidden = dense(sentence_dim, sentence_dim, activation="relu", name="shift_hidden", dtype=policy)
        self.shift_out = dense(sentence_dim, filters, zero=True, name="shift_out", dtype=policy)

    def build(self, x_shape, sentence_shape=None, mask_shape=None):
        self.norm.build(x_shape)
        for layer in (self.scale_hidden, self.scale_out, self.shift_hidden, self.shift_out):
            layer.build((None, self.sentence_dim))

    def compute_output_shape(self, x_shape, sentence_shape=None, mask_shape=None):
        return x_shape

    def call(self, x, sentence, mask, training=False):
        scale, shift = self.modulation(sentence)
        return modulated(self.norm(x, training=training), scale, shift, mask)

    def modulation(self, sentence):
        """g(s) and b(s): (B, sentence_dim) -> two of (B, 1, 1, C)."""
        scale = self.scale_out(self.scale_hidden(sentence))
        shift = self.shift_out(self.shift_hidden(sentence))
        return scale[:, None, None, :], shift[:, None, None, :]

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "sentence_dim": self.sentence_dim}


def modulated(x, scale, shift, mask):
    """SSCBN's formula: x (B, h, w, C), scale and shift (B, 1, 1, C), mask (B, h, w, 1) -> (B, h, w, C)."""
    return x * (scale * mask + 1.0) + shift * mask


@register
class SSACNBlock(keras.layers.Layer):
    """A block of the generator: residual convolutions whose two SSCBNs follow the text, and the next block's mask.

    `out = shortcut(x) + gate * residual(x)`; the gate (published `gamma`) is one number that starts at 0.

    Args:
        in_filters: channels of x.
        filters: channels of the output.
        sentence_dim: size of the sentence embedding.
        mask_filters: hidden channels of the mask predictor, None for a block that predicts no mask (the last one).
        enlarge: whether the block first makes each pixel of x four (published between the blocks).

    Call: x (B, h, w, in_filters), sentence (B, sentence_dim), mask (B, H, W, 1) -> (out (B, H, W, filters), logits of
    the next mask (B, H, W, 1) or None), where H is h, or 2 h if it enlarges.
    """

    def __init__(
        self,
        in_filters: int,
        filters: int,
        sentence_dim: int = 256,
        mask_filters: int | None = 100,
        enlarge: bool = False,
        **kwargs,
    ):
        super().__init__(**stated(kwargs))
        self.in_filters = in_filters
        self.filters = filters
        self.sentence_dim = sentence_dim
        self.mask_filters = mask_filters
        self.enlarge = enlarge
        policy = self.dtype_policy
        self.norm1 = SSCBN(in_filters, sentence_dim, name="norm1", dtype=policy)
        self.conv1 = conv(in_filters, filters, 3, name="conv1", dtype=policy)
        self.norm2 = SSCBN(filters, sentence_dim, name="norm2", dtype=policy)
        self.conv2 = conv(filters, filters, 3, name="conv2", dtype=policy)
        self.shortcut = None
        if in_filters != filters:
            self.shortcut = conv(in_filters, filters, 1, name="shortcut", dtype=policy)
        self.mask = None
        if mask_filters is not None:
            self.mask = MaskPredictor(filters, mask_filters, name="mask", dtype=policy)

    def build(self, x_shape, sentence_shape=None, mask_shape=None):
        out_shape = (*x_shape[:-1], self.filters)
        self.norm1.build(x_shape)
        self.conv1.build(x_shape)
        self.norm2.build(out_shape)
        self.conv2.build(out_shape)
        if self.shortcut is not None:
            self.shortcut.build(x_shape)
        if self.mask is not None:
            self.mask.build(out_shape)
        self.gate = self.add_weight(shape=(), initializer="zeros", name="gate")

    def compute_output_shape(self, x_shape, sentence_shape=None, mask_shape=None):
        out = _enlarged(x_shape, self.filters) if self.enlarge else (*x_shape[:-1], self.filters)
        return out if self.mask is None else (out, (*out[:-1], 1))

    def call(self, x, sentence, mask, training=False):
        x = upsample_nearest(x) if self.enlarge else x
        residual = self.conv1(tf.nn.relu(self.norm1(x, sentence, mask, training=training)))
        residual = self.conv2(tf.nn.relu(self.norm2(residual, sentence, mask, training=training)))
        shortcut = x if self.shortcut is None else self.shortcut(x)
        out = shortcut + self.gate * residual
        return out, None if self.mask is None else self.mask(out, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "in_filters": self.in_filters,
            "filters": self.filters,
            "sentence_dim": self.sentence_dim,
            "mask_filters": self.mask_filters,
            "enlarge": self.enlarge,
        }


@register
class DownBlock(keras.layers.Layer):
    """A block of the discriminator (published `resD`): halves the picture.

    `out = shortcut(x) + gate * residual(x)`; the gate (published `gamma`) is one number that starts at 0. As published,
    a block owns its 1x1 convolution even where the width stays and nothing uses it; then it is not trained.

    Args:
        in_filters: channels of x.
        filters: channels of the output.

    Call: x (B, h, w, in_filters) -> (B, h/2, w/2, filters).
    """

    def __init__(self, in_filters: int, filters: int, **kwargs):
        super().__init__(**stated(kwargs))
        self.in_filters = in_filters
        self.filters = filters
        policy = self.dtype_policy
        # TensorFlow's "same" padding of an even picture at stride 2 is the published one: one pixel on each side.
        self.conv1 = conv(in_filters, filters, 4, strides=2, use_bias=False, name="conv1", dtype=policy)
        self.conv2 = conv(filters, filters, 3, use_bias=False, name="conv2", dtype=policy)
        self.shortcut = conv(in_filters, filters, 1, name="shortcut", dtype=policy)
        self.shortcut.trainable = in_filters != filters

    def build(self, input_shape):
        self.conv1.build(input_shape)
        self.conv2.build((*input_shape[:-1], self.filters))
        self.shortcut.build(input_shape)
        self.gate = self.add_weight(shape=(), initializer="zeros", name="gate")

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[1] // 2, input_shape[2] // 2, self.filters

    def call(self, x):
        residual = leaky_relu(self.conv2(leaky_relu(self.conv1(x))))
        # Published: 1x1 convolution, then pool. The other way round gives the same for a quarter of the work.
        shortcut = tf.nn.avg_pool2d(x, 2, 2, "VALID")
        if self.in_filters != self.filters:
            shortcut = self.shortcut(shortcut)
        return shortcut + self.gate * residual

    def get_config(self):
        return {**super().get_config(), "in_filters": self.in_filters, "filters": self.filters}
