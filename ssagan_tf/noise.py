"""From a seed to noise by one rule, the same in NumPy, TensorFlow and on a device.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with key = (low, high word of the
seed) and counter = (block, 0, 0, 0), four 32-bit words a block. Two words (w, w') give two normals by Box-Muller:
u1 = (w + 1) / 2^32, u2 = w' / 2^32, r = sqrt(-2 ln u1), r cos(2 pi u2) and r sin(2 pi u2), computed in float64 and
rounded to float32.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np

if typing.TYPE_CHECKING:
    import tensorflow as tf

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)
_ROUNDS = 10


def philox_words(seeds: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    """The first `count` words of each seed's stream.

    Args:
        seeds: (B,) int64.
        count: words wanted.

    Returns:
        (B, count) uint32.
    """
    seeds = np.asarray(seeds, np.int64).view(np.uint64)[:, None]
    key = [seeds & _LOW, seeds >> _WORD_BITS]
    blocks = np.arange(-(-count // 4), dtype=np.uint64)[None, :]
    zero = np.zeros(np.broadcast_shapes(seeds.shape, blocks.shape), np.uint64)
    counter = [zero + blocks, zero, zero, zero]
    for _ in range(_ROUNDS):
        product0, product1 = _MULTIPLIERS[0] * counter[0], _MULTIPLIERS[1] * counter[2]
        counter = [
            (product1 >> _WORD_BITS) ^ counter[1] ^ key[0],
            product1 & _LOW,
            (product0 >> _WORD_BITS) ^ counter[3] ^ key[1],
            product0 & _LOW,
        ]
        key = [(k + weyl) & _LOW for k, weyl in zip(key, _WEYL, strict=True)]
    words = np.stack(counter, -1).reshape(len(seeds), -1)[:, :count]
    return words.astype(np.uint32)


def normals(seeds: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    """Standard normal noise of each seed.

    Args:
        seeds: (B,) int64.
        count: numbers for each seed.

    Returns:
        (B, count) float32; a row depends on its seed alone, and its start does not depend on `count`.
    """
    words = philox_words(seeds, count + count % 2).astype(np.float64)
    radius = np.sqrt(-2.0 * np.log((words[:, 0::2] + 1.0) / 2.0**32))
    angle = 2.0 * np.pi * (words[:, 1::2] / 2.0**32)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return pairs.reshape(len(words), -1)[:, :count].astype(np.float32)


def normals_in_graph(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """The same numbers as `normals`, for tensors: (B,) int64 -> (B, count) float32.

    The words are bit-equal to NumPy's; the normals are, save for the odd last bit of a transcendental function.
    """
    import tensorflow as tf

    philox = tf.random.Algorithm.PHILOX.value

    def words_of(seed: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[count + count % 2],
            key=tf.reshape(tf.bitcast(seed, tf.uint64), [1]),
            counter=tf.zeros([2], tf.uint64),
            alg=philox,
            dtype=tf.uint32,
        )

    words = tf.map_fn(words_of, tf.cast(seeds, tf.int64), fn_output_signature=tf.uint32)
    words = tf.cast(words, tf.float64)
    radius = tf.sqrt(-2.0 * tf.math.log((words[:, 0::2] + 1.0) / 2.0**32))
    angle = 2.0 * np.pi * (words[:, 1::2] / 2.0**32)
    pairs = tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], -1)
    return tf.cast(tf.reshape(pairs, [tf.shape(words)[0], count + count % 2])[:, :count], tf.float32)
