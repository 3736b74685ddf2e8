"""How far apart two sets of features are, in float64 NumPy. Features may be memory-mapped: they are read in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from absl import logging

from ssagan_tf.core.progress import Bar
from ssagan_tf.errors import UserError

_BLOCK = 1000  # rows at a time
NEAREST = 3  # neighbours, as in the paper on precision and recall
_ROUNDING = 1e-12  # of squared distances, relative to the largest squared norm


class Moments:
    """Mean and covariance of features that come in batches, of any sizes and in any order.

    Batches are joined by the pairwise rule of Chan, Golub and LeVeque (1983), which loses no digits where the mean is
    large beside the deviation.

    Args:
        dimensions: length D of a feature.
    """

    def __init__(self, dimensions: int):
        self.count = 0
        self.mean = np.zeros(dimensions)
        self._scatter = np.zeros([dimensions, dimensions])

    @classmethod
    def of(cls, features: np.ndarray) -> Moments:
        """Of features (N, D), read in blocks."""
        moments = cls(features.shape[1])
        for block in _blocks(features):
            moments.update(block)
        return moments

    @classmethod
    def restore(cls, count: int, mean: np.ndarray, covariance: np.ndarray) -> Moments:
        """What was kept of other moments: `count`, `mean` (D,) and `covariance` (D, D)."""
        moments = cls(len(mean))
        moments.count, moments.mean = int(count), np.asarray(mean, np.float64)
        moments._scatter = np.asarray(covariance, np.float64) * max(moments.count - 1, 1)
        return moments

    def update(self, features: np.ndarray) -> None:
        """Adds a batch (B, D). Raises UserError if its length is another or it holds values that are not finite."""
        features = _checked(features, len(self.mean))
        if not len(features):
            return
        mean = features.mean(0)
        centred = features - mean
        total = self.count + len(features)
        apart = mean - self.mean
        between = np.outer(apart, apart) * (self.count * len(features) / total)
        self._scatter = self._scatter + centred.T @ centred + between
        self.mean = self.mean + apart * (len(features) / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """(D, D), the unbiased estimate. Raises UserError for fewer than two features."""
        if self.count < 2:
            raise UserError(f"A covariance needs two samples. Received: {self.count}. Give more pictures.")
        return self._scatter / (self.count - 1)


def frechet_distance(first: Moments, second: Moments) -> float:
    """Squared Frechet distance of two normal distributions with these moments (Dowson and Landau, 1982): FID's formula.

        |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^1/2)

    The last trace is the sum of the singular values of C1^1/2 C2^1/2, which is real and stable where covariances are
    singular: no matrix square root of a product that is not symmetric is taken. Fewer samples than dimensions give a
    value that is too large, which is warned of.

    Raises:
        UserError: features of different lengths, or fewer than two.
    """
    if len(first.mean) != len(second.mean):
        sizes = f"{len(first.mean)} and {len(second.mean)}"
        raise UserError(f"Features have different lengths. Received: {sizes}. Use one extractor for both.")
    fewest = min(first.count, second.count)
    if fewest <= len(first.mean):
        logging.warning(
            "A Frechet distance of fewer samples than dimensions comes out too large. Received: %d samples, %d "
            "dimensions. Draw more pictures, or trust the kernel distance (kid) instead.",
            fewest,
            len(first.mean),
        )
    covariances = first.covariance, second.covariance
    roots = [_root(covariance) for covariance in covariances]
    shared = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum()
    apart = first.mean - second.mean
    distance = apart @ apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * shared
    return max(float(distance), 0.0)


def _root(covariance: np.ndarray) -> np.ndarray:
    """R (D, rank) with R R^T = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    # What rounding leaves of zero has a root that is no longer small: 1e-16 becomes 1e-8.
    kept = values > values.max(initial=0) * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])


def kernel_distance(first: np.ndarray, second: np.ndarray, progress: bool = False) -> float:
    """KID (Binkowski et al., ICLR 2018): unbiased squared maximum mean discrepancy, kernel (x.y / D + 1)^3.

    All pairs are used, which is what means over random subsets estimate, without their chance. It may come out a
    little below 0.

    Args:
        first, second: features (N, D) and (M, D).
        progress: show a progress bar.

    Raises:
        UserError: features of different lengths, not finite, or fewer than two.
    """
    _check_pair(first, second)
    n, m = len(first), len(second)
    with Bar(2 * _block_count(first) + _block_count(second), "blocks of kernels", progress) as bar:
        of_first, of_second = (_kernel_sum(features, features, True, bar) for features in (first, second))
        between = _kernel_sum(first, second, False, bar)
    return float(of_first / (n * (n - 1)) + of_second / (m * (m - 1)) - 2 * between / (n * m))


def _kernel_sum(rows: np.ndarray, columns: np.ndarray, same: bool, bar: Bar) -> float:
    """Sum of the kernel over all pairs; of a set with itself, over pairs of different ones. A step for each block."""
    total = 0.0
    for i, row in enumerate(_blocks(rows)):
        for j, column in enumerate(_blocks(columns)):
            if same and j < i:
                continue
            kernel = (row @ column.T / row.shape[1] + 1) ** 3
            if same and i == j:
                total += kernel.sum() - np.trace(kernel)
            else:
                total += kernel.sum() * (2 if same else 1)
        bar.step()
    return total


def inception_score(logits: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Inception Score (Salimans et al., 2016): exp of the mean KL divergence of a picture's classes from all pictures'.

    Picture i belongs to split i modulo `splits`, because neighbours may be pictures of the same thing.

    Args:
        logits: (N, classes), before the softmax.
        splits: parts that are scored by themselves.

    Returns:
        Mean and standard deviation over the splits.

    Raises:
        UserError: fewer pictures than splits, or values that are not finite.
    """
    if not 1 <= splits <= len(logits):
        raise UserError(f"Too few pictures for the splits. Received: {len(logits)}, {splits}. Draw more pictures.")
    scores = [_one_inception_score(_checked(logits[start::splits], logits.shape[1])) for start in range(splits)]
    return float(np.mean(scores)), float(np.std(scores))


def _one_inception_score(logits: np.ndarray) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    log_chances = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    chances = np.exp(log_chances)
    # A class that no picture has adds 0, not 0 * log 0.
    log_mean = np.log(np.maximum(chances.mean(0), np.finfo(np.float64).tiny))
    return float(np.exp((chances * (log_chances - log_mean)).sum(1).mean()))


def precision_recall(
    real: np.ndarray, drawn: np.ndarray, nearest: int = NEAREST, progress: bool = False
) -> tuple[float, float]:
    """Improved precision and recall (Kynkaanniemi et al., NeurIPS 2019).

    Precision: the share of drawn features that lie within the distance of some real feature to its `nearest`-th
    neighbour among the real ones. Recall: the same with the parts exchanged.

    Args:
        real, drawn: features (N, D) and (M, D).
        nearest: neighbours.
        progress: show a progress bar.

    Raises:
        UserError: features of different lengths, not finite, or no more than `nearest`.
    """
    _check_pair(real, drawn)
    if min(len(real), len(drawn)) <= nearest:
        raise UserError(
            f"Too few pictures for neighbours. Received: {min(len(real), len(drawn))}. Give more than {nearest}."
        )
    with Bar(_block_count(real) + _block_count(drawn), "blocks of neighbours", progress) as bar:
        return _share_inside(real, drawn, nearest, bar), _share_inside(drawn, real, nearest, bar)


def _share_inside(support: np.ndarray, asked: np.ndarray, nearest: int, bar: Bar) -> float:
    """The share of `asked` inside of one of the balls around `support`, each reaching to its nearest-th neighbour."""
    inside = np.zeros(len(asked), bool)
    centre = sum(block.sum(0) for block in _blocks(support)) / len(
        support
    )  # near the origin, squared distances lose fewer digits
    first = 0
    for block in _blocks(support):
        radii = _radii(block - centre, support, centre, first, nearest)
        for start, others in _starts(asked):
            squares, slack = _squared_distances(others - centre, block - centre)
            inside[start : start + len(others)] |= (squares <= radii + slack).any(1)
        first += len(block)
        bar.step()
    return float(inside.mean())


def _radii(block: np.ndarray, support: np.ndarray, centre: np.ndarray, first: int, nearest: int) -> np.ndarray:
    """Squared distance (B,) of each of a block, which begins at `first`, to its nearest-th neighbour in `support`."""
    found = np.full([len(block), nearest], np.inf)
    for start, others in _starts(support):
        squares, _ = _squared_distances(block, others - centre)
        if start == first:
            np.fill_diagonal(squares, np.inf)  # nobody is his own neighbour
        found = np.partition(np.concatenate([found, squares], 1), nearest - 1, axis=1)[:, :nearest]
    return found.max(1)


def _squared_distances(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, float]:
    """(N, M), and how far rounding may have led them astray."""
    lengths, others = (rows**2).sum(1), (columns**2).sum(1)
    squares = np.maximum(lengths[:, None] + others - 2 * rows @ columns.T, 0)
    return squares, _ROUNDING * max(lengths.max(initial=0), others.max(initial=0))


def _block_count(features: np.ndarray) -> int:
    return -(-len(features) // _BLOCK)


def _blocks(features: np.ndarray) -> Iterator[np.ndarray]:
    for _, block in _starts(features):
        yield block


def _starts(features: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(features), _BLOCK):
        yield start, np.asarray(features[start : start + _BLOCK], np.float64)


def _checked(features: np.ndarray, dimensions: int) -> np.ndarray:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or features.shape[1] != dimensions:
        raise UserError(f"Features have another shape. Received: {features.shape}. Give (N, {dimensions}).")
    if not np.isfinite(features).all():
        raise UserError("Features are not finite. Received: NaN or infinity. Check the model and the extractor.")
    return features


def _check_pair(first: np.ndarray, second: np.ndarray) -> None:
    for features in (first, second):
        for block in _blocks(features):
            _checked(block, first.shape[1])
        if len(features) < 2:
            raise UserError(f"A distance needs two samples on each side. Received: {len(features)}. Give more.")
