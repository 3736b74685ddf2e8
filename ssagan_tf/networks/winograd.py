"""3x3 convolutions with a quarter of the multiplications, by Winograd's minimal filtering F(4 x 4, 3 x 3) (Lavin and
Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016): 4 x 4 results of 6 x 6 pixels at a time."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_OUT, _IN = 4, 6  # pixels of a tile, a side
# The paper's matrices. Their entries are small, but rounding errors grow a hundredfold: relative to the largest result
# they are some 1e-5.
_PIXELS = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0]]
_PIXELS.append([0, 4, 0, -5, 0, 1])
_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_RESULTS = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def _both_axes(matrix) -> np.ndarray:
    """Of a matrix for rows, one for the flattened rows and columns."""
    return np.kron(matrix, matrix).astype(np.float32)


_OF_PIXELS, _OF_KERNEL, _OF_RESULTS = _both_axes(_PIXELS), _both_axes(_KERNEL), _both_axes(_RESULTS)


def pays(x: tf.Tensor, kernel: tf.Tensor) -> bool:
    """Whether `conv3x3` is the faster: on a CPU, with channels enough that products outweigh the moving about of
    tiles, and tiles enough that matrices are large. A GPU's own convolutions choose by themselves."""
    _, height, width, channels = x.shape
    if None in (height, width) or tf.config.list_physical_devices("GPU"):
        return False
    whole = height % _OUT == width % _OUT == 0 and min(height, width) >= 32
    return x.dtype == tf.float32 and whole and channels >= 256 and kernel.shape[:2] == (3, 3)


def conv3x3(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """As `tf.nn.conv2d(x, kernel, 1, "SAME")`, but for rounding.

    Args:
        x: (B, h, w, C) float32, h and w multiples of 4.
        kernel: (3, 3, C, F).

    Returns:
        (B, h, w, F).
    """
    (_, height, width, channels), filters = x.shape, kernel.shape[-1]
    rows, columns = height // _OUT, width // _OUT
    batch = tf.shape(x)[0]
    with tf.control_dependencies([x]):  # or a whole network's kernels, four times as large here, would be made at once
        weights = tf.reshape(_OF_KERNEL @ tf.reshape(kernel, [9, channels * filters]), [_IN**2, channels, filters])
    tiles = _OF_PIXELS @ tf.reshape(_tiles(x, rows, columns), [_IN**2, -1])
    products = tf.reshape(tiles, [_IN**2, -1, channels]) @ weights
    results = _OF_RESULTS @ tf.reshape(products, [_IN**2, -1])
    results = tf.reshape(results, [_OUT, _OUT, batch, rows, columns, filters])
    return tf.reshape(tf.transpose(results, [2, 3, 0, 4, 1, 5]), [batch, height, width, filters])


def _tiles(x, rows, columns):
    """(6, 6, B, rows, columns, C): of every tile the pixels that its results are made of, which overlap by two."""
    after = _OUT - 1  # one that is needed, the others to make whole fours
    x = tf.pad(x, [[0, 0], [1, after], [1, after], [0, 0]])
    fours = tf.reshape(x, [-1, rows + 1, _OUT, columns + 1, _OUT, x.shape[-1]])
    overlap = _IN - _OUT
    sixes = tf.concat([fours[:, :rows], fours[:, 1:, :overlap]], 2)
    sixes = tf.concat([sixes[:, :, :, :columns], sixes[:, :, :, 1:, :overlap]], 4)
    return tf.transpose(sixes, [2, 4, 0, 1, 3, 5])
