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


def share_interval(successes: float, count: int) -> Interval:
    """Of a share of independent successes: Wilson's score interval (1927), which stays within [0, 1].

    Args:
        successes: how many; ties may count as fractions.
        count: of how many.

    Raises:
        UserError: no trials, or more successes than trials.
    """
    if count < 1 or not 0 <= successes <= count:
        raise UserError(f"This is no share. Received: {successes} of {count}. Give a count of 1 or more.")
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


def _student(freedom: int) -> float:
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    # Cornish and Fisher's expansion: within 0.0002 from 11 on.
    z = _NORMAL
    terms = z**3 + z, 5 * z**5 + 16 * z**3 + 3 * z, 3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z
    return z + terms[0] / (4 * freedom) + terms[1] / (96 * freedom**2) + terms[2] / (384 * freedom**3)
