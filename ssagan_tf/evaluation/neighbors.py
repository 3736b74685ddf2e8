"""Scores by nearest neighbors: precision, recall, density, coverage, and closeness to training pictures.

In float64 NumPy. Features may be memory-mapped: they are read in blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ssagan_tf.core.progress import Bar
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.statistics import block_count, blocks, check_pair, starts

NEAREST = 3  # neighbors, as in the paper on precision and recall
_ROUNDING = 1e-12  # of squared distances, relative to the squared norms


class Neighborhoods(NamedTuple):
    """How generated features lie among real ones.

    Attributes:
        precision, recall: Kynkaanniemi et al., "Improved precision and recall metric for assessing generative
            models", NeurIPS 2019. The share of generated features in the ball of some real one, which reaches to its
            k-th nearest real neighbor; and the same with the parts exchanged.
        density, coverage: Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020.
            How many balls of real features a generated one lies in, divided by k; and the share of real features
            whose ball holds a generated one.
        density_error: standard error of the density, over generated features, the real ones given.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    density_error: float = 0.0


def neighborhoods(
    real: np.ndarray, generated: np.ndarray, nearest: int = NEAREST, progress: bool = False
) -> Neighborhoods:
    """Precision, recall, density and coverage. They depend on the counts: compare like with like.

    Args:
        real, generated: features (N, D) and (M, D).
        nearest: neighbors k.
        progress: show a progress bar.

    Raises:
        UserError: features of different lengths, not finite, or no more than `nearest`.
    """
    check_pair(real, generated)
    if min(len(real), len(generated)) <= nearest:
        raise UserError(
            f"Too few pictures for neighbors. Received: {min(len(real), len(generated))}. Give more than {nearest}."
        )
    center = _center(real)
    with Bar(2 * block_count(real) + block_count(generated), "blocks of neighbors", progress) as bar:
        real_radii = _radii(real, center, nearest, bar)
        generated_radii = _radii(generated, center, nearest, bar)
        balls, in_generated, covered = (
            np.zeros(len(generated), int),
            np.zeros(len(real), bool),
            np.zeros(len(real), bool),
        )
        for i, rows in starts(real):
            for j, columns in starts(generated):
                squares, slack = _squared_distances(rows - center, columns - center)
                row, column = slice(i, i + len(rows)), slice(j, j + len(columns))
                inside = squares <= real_radii[row, None] + slack
                balls[column] += inside.sum(0)
                covered[row] |= inside.any(1)
                in_generated[row] |= (squares <= generated_radii[column] + slack).any(1)
            bar.step()
    return Neighborhoods(
        precision=float(np.mean(balls > 0)),
        recall=float(in_generated.mean()),
        density=float(balls.mean() / nearest),
        coverage=float(covered.mean()),
        density_error=float(balls.std(ddof=1) / nearest / np.sqrt(len(balls))),
    )


def _radii(features: np.ndarray, center: np.ndarray, nearest: int, bar: Bar) -> np.ndarray:
    """Squared distance (N,) of each to its nearest-th neighbor. Each pair is computed once."""
    found = np.full([len(features), nearest], np.inf)
    for i, rows in starts(features):
        for j, columns in starts(features):
            if j < i:
                continue
            squares, _ = _squared_distances(rows - center, columns - center)
            if i == j:
                np.fill_diagonal(squares, np.inf)  # nobody is their own neighbor
            else:
                _keep_nearest(found[j : j + len(columns)], squares.T)
            _keep_nearest(found[i : i + len(rows)], squares)
        bar.step()
    return found.max(1)


def _keep_nearest(found: np.ndarray, squares: np.ndarray) -> None:
    count = found.shape[1]
    if squares.shape[1] > count:
        squares = np.partition(squares, count - 1, axis=1)[:, :count]
    found[:] = np.partition(np.concatenate([found, squares], 1), count - 1, axis=1)[:, :count]


def nearest_of(features: np.ndarray, others: np.ndarray, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of `others` (M, D) for each of `features` (N, D).

    Returns:
        Indices (N,) int64 and Euclidean distances (N,) float64.

    Raises:
        UserError: features of different lengths, not finite, or fewer than two.
    """
    check_pair(features, others)
    center = _center(others)
    indices, least = np.zeros(len(features), np.int64), np.full(len(features), np.inf)
    with Bar(block_count(features), "blocks of neighbors", progress) as bar:
        for i, rows in starts(features):
            part = slice(i, i + len(rows))
            for j, columns in starts(others):
                squares, _ = _squared_distances(rows - center, columns - center)
                best = squares.argmin(1)
                values = squares[np.arange(len(rows)), best]
                closer = values < least[part]
                indices[part] = np.where(closer, best + j, indices[part])
                least[part] = np.where(closer, values, least[part])
            bar.step()
    return indices, np.sqrt(least)


class Memorization(NamedTuple):
    """Whether generated pictures are copies of training pictures.

    Attributes:
        copies: share of generated pictures that are nearer to a training picture than all but 1 % of held-out real
            pictures are: about 0.01 where the model has learned nothing by rote.
        ratio: median distance of generated pictures to their nearest training picture, divided by that of held-out
            real pictures: well below 1 means copies; above 1, pictures unlike any.
        indices: (N,) int64, the nearest training picture of each generated one.
        distances: (N,) float64, their distances.
    """

    copies: float
    ratio: float
    indices: np.ndarray
    distances: np.ndarray


def memorization(
    generated: np.ndarray, training: np.ndarray, held_out: np.ndarray, progress: bool = False
) -> Memorization:
    """Compares distances to the nearest training picture: of generated pictures, and of held-out real ones.

    Args:
        generated, training, held_out: features (N, D), (M, D) and (K, D).
        progress: show a progress bar.

    Raises:
        UserError: features of different lengths, not finite, or fewer than two.
    """
    indices, distances = nearest_of(generated, training, progress)
    _, usual = nearest_of(held_out, training, progress)
    median = np.median(usual)
    ratio = np.median(distances) / median if median > 0 else np.nan
    return Memorization(float(np.mean(distances < np.quantile(usual, 0.01))), float(ratio), indices, distances)


def _center(features: np.ndarray) -> np.ndarray:
    """Where most features are (D,): near the origin, squared distances lose fewer digits."""
    return np.median(next(blocks(features)), axis=0)


def _squared_distances(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, M), and by how much rounding may have led each astray."""
    lengths = (rows**2).sum(1)[:, None] + (columns**2).sum(1)
    squares = rows @ columns.T
    squares *= -2
    squares += lengths
    return np.maximum(squares, 0, out=squares), _ROUNDING * lengths
