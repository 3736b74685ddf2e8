"""Random numbers of a training step, from seeds alone: the same on every device and with XLA.

`tf.random.stateless_uniform` and `stateless_normal` do not promise that, even where Philox is named: XLA makes other
floats of its words, though the words are the same. So floats are made of words here, as TensorFlow makes them on a CPU.
"""

from __future__ import annotations

import math

import tensorflow as tf

ALGORITHM = "philox"  # "auto_select", the default, is another one on some devices


def uniform(shape, seed: tf.Tensor) -> tf.Tensor:
    """float32 in [0, 1) by `seed` (2,): bit by bit what `tf.random.stateless_uniform` gives on a CPU."""
    words = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg=ALGORITHM)
    return tf.bitcast((words & 0x7FFFFF) | 0x3F800000, tf.float32) - 1.0  # 23 bits behind a one


def normal(shape, seed: tf.Tensor) -> tf.Tensor:
    """float32, standard normal by `seed` (2,): what `tf.random.stateless_normal` gives on a CPU, to rounding."""
    count = tf.reduce_prod(shape)
    radius, angle = tf.unstack(tf.reshape(uniform([count + count % 2], seed), [-1, 2]), axis=1)
    radius = tf.sqrt(-2.0 * tf.math.log(tf.maximum(radius, 1e-7)))
    angle = 2.0 * math.pi * angle
    pairs = tf.stack([radius * tf.sin(angle), radius * tf.cos(angle)], 1)
    return tf.reshape(tf.reshape(pairs, [-1])[:count], shape)


def fold_in(seed: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    """Another seed (2,) for each number."""
    return tf.random.fold_in(seed, number, alg=ALGORITHM)
