"""From a seed to noise by one rule, the same in NumPy, TensorFlow and on a device.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with key = (low, high word of the
seed) and counter = (block, 0, 0, 0), four 32-bit words a block. Two words (w, w') give two normals by Box-Muller:
u1 = (w + 1) / 2^32, u2 = w' / 2^32, r = sqrt(-2 ln u1), r cos(2 pi u2) and r sin(2 pi u2), computed in float64 and
rounded to float32.
"""

from __future__ import annotations

import typing

import numpy as np

# A device has that module alone, so the rule is written there.
from ssagan_tf.errors import UserError
from ssagan_tf.on_device import normals, philox_words

if typing.TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["normals", "normals_in_graph", "philox_words", "truncated", "truncation_of"]

_CUT, _LIMIT = "dfgan:", 2.0


def truncation_of(text: str) -> float | str:
    """What `--truncation` says: a factor, or "dfgan:FACTOR".

    Raises:
        UserError: neither, or a factor below 0.
    """
    try:
        factor = float(text.removeprefix(_CUT))
        if 0 <= factor < float("inf"):
            return text if text.startswith(_CUT) else factor
    except ValueError:
        pass
    raise UserError(f"The truncation is a factor. Received: --truncation={text}. Give one like 0.8, or {_CUT}0.8.")


def truncated(values: np.ndarray, truncation: float | str | None) -> np.ndarray:
    """Normals times a factor; with "dfgan:FACTOR" first cut at +-2, as DF-GAN's evaluation does; with None as they are.

    A cut normal is that of the same quantile, so that it keeps its place among the others.

    Args:
        values: float32, normal.
        truncation: factor, "dfgan:FACTOR" or None.
    """
    if isinstance(truncation, str):
        import tensorflow as tf

        quantiles, outside = _quantiles(np.asarray(values, np.float64)), _quantiles(np.float64(-_LIMIT))
        values = tf.math.ndtri(outside + quantiles * (1 - 2 * outside)).numpy().astype(np.float32)
        truncation = float(truncation.removeprefix(_CUT))
    return values if truncation is None else values * np.float32(truncation)


def _quantiles(values):
    import tensorflow as tf

    return 0.5 * tf.math.erfc(-values / np.sqrt(2.0)).numpy()


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
