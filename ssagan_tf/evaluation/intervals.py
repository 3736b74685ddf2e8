"""Confidence intervals of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ssagan_tf.errors import UserError

_NORMAL = 1.959963984540054  # the normal distribution's 97.5 % quantile
# Student's 97.5 % quantiles for 1, 2, ... degrees of freedom.
_STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def share_interval(successes: float, count: float) -> Interval:
    """Of a share of independent successes: Wilson's score interval (1927), which stays within [0, 1].

    Args:
        successes: how many; ties may count as fractions.
        count: of how many; need not be whole.

    Raises:
        UserError: no trials, or more successes than trials.
    """
    if count <= 0 or not 0 <= successes <= count:
        raise UserError(f"This is no share. Received: {successes} of {count}. Give a count above 0.")
    share, square = successes / count, _NORMAL**2
    center = (share + square / (2 * count)) / (1 + square / count)
    half = _NORMAL / (1 + square / count) * np.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return Interval(max(float(center - half), 0.0), min(float(center + half), 1.0))


def normal_interval(value: float, error: float) -> Interval:
    """Of an estimate that is about normal, from its standard error."""
    return Interval(float(value - _NORMAL * error), float(value + _NORMAL * error))


def mean_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """Of the mean of independent values, such as scores of several seeds: Student's t.

    Raises:
        UserError: fewer than two values.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        raise UserError(f"One value has no spread. Received: {len(values)}. Give two or more.")
    half = _student(len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(float(values.mean() - half), float(values.mean() + half))


def paired_interval(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> Interval:
    """Of the mean difference `first - second` of paired values, such as scores of two models by the same seeds.

    Raises:
        UserError: unlike counts, or fewer than two pairs.
    """
    if len(first) != len(second):
        raise UserError(f"These are no pairs. Received: {len(first)} and {len(second)} values. Give as many.")
    return mean_interval(np.asarray(first, np.float64) - np.asarray(second, np.float64))


def difference_interval(first: float, of_first: Interval, second: float, of_second: Interval) -> Interval:
    """Of the difference `first - second` of two independent estimates, from their own intervals.

    Newcombe's rule (1998), which keeps what is lopsided about them. It is too wide for estimates that rise and fall
    together.
    """
    low = np.hypot(first - of_first.low, of_second.high - second)
    high = np.hypot(of_first.high - first, second - of_second.low)
    return Interval(float(first - second - low), float(first - second + high))


def clustered_share_interval(successes: Sequence[float] | np.ndarray, counts: Sequence[int] | np.ndarray) -> Interval:
    """Of a share of trials that come in clusters, such as the attributes of a picture: alike within, independent else.

    Wilson's interval of as many independent trials as would give the same standard error (Korn and Graubard, 1998).

    Args:
        successes, counts: of each cluster.

    Raises:
        UserError: fewer than two clusters, or no trials.
    """
    hits, counts = np.asarray(successes, np.float64), np.asarray(counts, np.float64)
    if len(hits) < 2 or not counts.any():
        received = f"{len(hits)} clusters, {counts.sum():g} trials"
        raise UserError(f"There is no spread between clusters. Received: {received}. Give two or more.")
    share = hits.sum() / counts.sum()
    variance = len(hits) / (len(hits) - 1) * np.sum((hits - share * counts) ** 2) / counts.sum() ** 2
    # Without any spread each cluster counts as one trial.
    trials = share * (1 - share) / variance if variance > 0 else len(hits)
    return share_interval(share * trials, trials)


def _student(freedom: int) -> float:
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    # Cornish and Fisher's expansion: within 0.0002 from 11 on.
    z = _NORMAL
    terms = z**3 + z, 5 * z**5 + 16 * z**3 + 3 * z, 3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z
    return z + terms[0] / (4 * freedom) + terms[1] / (96 * freedom**2) + terms[2] / (384 * freedom**3)
