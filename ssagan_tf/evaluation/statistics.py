"""How far apart two sets of features are, in float64 NumPy. Features may be memory-mapped: they are read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from absl import logging

from ssagan_tf.core.progress import Bar
from ssagan_tf.errors import UserError

_BLOCK = 1000  # rows at a time


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
        for block in blocks(features):
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
    # Eigenvalues of a smaller Gram matrix would be faster, but squaring loses the half of the digits (1e-4 was seen).
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


class Estimate(NamedTuple):
    """An estimate and its standard error."""

    value: float
    error: float


def kernel_distance(first: np.ndarray, second: np.ndarray, progress: bool = False) -> Estimate:
    """KID (Binkowski et al., ICLR 2018): unbiased squared maximum mean discrepancy, kernel (x.y / D + 1)^3.

    All pairs are used, which is what means over random subsets estimate, without their chance. It may come out a
    little below 0. The standard error is that of each picture's part in the U-statistic (Hoeffding, 1948): it covers
    the choice of pictures, not the training, and is a little too large where both sets have the same distribution.

    Args:
        first, second: features (N, D) and (M, D).
        progress: show a progress bar.

    Raises:
        UserError: features of different lengths, not finite, or fewer than two.
    """
    check_pair(first, second)
    n, m = len(first), len(second)
    with Bar(2 * block_count(first) + block_count(second), "blocks of kernels", progress) as bar:
        of_first, of_second = _means_within(first, bar), _means_within(second, bar)
        across_first, across_second = _means_between(first, second, bar)
    value = of_first.mean() + of_second.mean() - 2 * across_first.mean()
    parts = (of_first - across_first).var(ddof=1) / n + (of_second - across_second).var(ddof=1) / m
    return Estimate(float(value), float(2 * np.sqrt(parts)))


def _kernel(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    base = rows @ columns.T
    base /= rows.shape[1]
    base += 1
    return base * base * base  # many times as fast as a power


def _means_within(features: np.ndarray, bar: Bar) -> np.ndarray:
    """Mean kernel (N,) of each with all others. Each pair is computed once."""
    sums = np.zeros(len(features))
    for i, row in starts(features):
        for j, column in starts(features):
            if j < i:
                continue
            kernel = _kernel(row, column)
            if i == j:
                np.fill_diagonal(kernel, 0)
            else:
                sums[j : j + len(column)] += kernel.sum(0)
            sums[i : i + len(row)] += kernel.sum(1)
        bar.step()
    return sums / (len(features) - 1)


def _means_between(first: np.ndarray, second: np.ndarray, bar: Bar) -> tuple[np.ndarray, np.ndarray]:
    """Mean kernel (N,) of each of the first with the second, and (M,) the other way round."""
    of_first, of_second = np.zeros(len(first)), np.zeros(len(second))
    for i, row in starts(first):
        for j, column in starts(second):
            kernel = _kernel(row, column)
            of_first[i : i + len(row)] += kernel.sum(1)
            of_second[j : j + len(column)] += kernel.sum(0)
        bar.step()
    return of_first / len(second), of_second / len(first)


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


def block_count(features: np.ndarray) -> int:
    """How many `blocks` there are."""
    return -(-len(features) // _BLOCK)


def blocks(features: np.ndarray) -> Iterator[np.ndarray]:
    """Features in float64, some rows at a time."""
    for _, block in starts(features):
        yield block


def starts(features: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """As `blocks`, each with the index of its first row."""
    for start in range(0, len(features), _BLOCK):
        yield start, np.asarray(features[start : start + _BLOCK], np.float64)


def _checked(features: np.ndarray, dimensions: int) -> np.ndarray:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or features.shape[1] != dimensions:
        raise UserError(f"Features have another shape. Received: {features.shape}. Give (N, {dimensions}).")
    if not np.isfinite(features).all():
        raise UserError("Features are not finite. Received: NaN or infinity. Check the model and the extractor.")
    return features


def check_pair(first: np.ndarray, second: np.ndarray) -> None:
    """Raises UserError for features of different lengths, not finite, or fewer than two."""
    for features in (first, second):
        for block in blocks(features):
            _checked(block, first.shape[1])
        if len(features) < 2:
            raise UserError(f"A distance needs two samples on each side. Received: {len(features)}. Give more.")
