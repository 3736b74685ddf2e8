"""Intervals cover the truth about as often as they say."""

import numpy as np
import pytest

from ssagan_tf import UserError
from ssagan_tf.evaluation.intervals import (
    clustered_share_interval,
    difference_interval,
    mean_interval,
    paired_interval,
    share_interval,
)


@pytest.mark.parametrize("share", [0.02, 0.4, 0.9])
def test_the_interval_of_a_share_covers_it(share):
    drawn = np.random.default_rng(0).binomial(500, share, 2000)
    intervals = [share_interval(int(successes), 500) for successes in drawn]
    assert 0.93 <= np.mean([low <= share <= high for low, high in intervals]) <= 0.97


@pytest.mark.parametrize("count", [3, 5, 12, 40])
def test_the_interval_of_a_mean_covers_it(count):
    values = np.random.default_rng(1).normal(7, 2, [4000, count])
    intervals = [mean_interval(row) for row in values]
    assert 0.94 <= np.mean([low <= 7 <= high for low, high in intervals]) <= 0.96


def test_student_quantiles_are_scipys():
    stats = pytest.importorskip("scipy.stats", reason="SciPy comes with the extra [dev]")
    for count in range(2, 60):
        values = np.zeros(count)
        values[0] = 1
        expected = stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count)
        low, high = mean_interval(values)
        assert (high - low) / 2 == pytest.approx(expected, rel=5e-4)


def test_the_interval_of_a_share_is_wilsons():
    # Agresti and Coull (1998): 0 of 10 and 5 of 10.
    assert share_interval(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert share_interval(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)


def test_the_interval_of_a_difference_covers_it():
    random = np.random.default_rng(3)
    covered = []
    for first, second in random.binomial((300, 200), (0.9, 0.6), (2000, 2)):
        shares = first / 300, share_interval(first, 300), second / 200, share_interval(second, 200)
        low, high = difference_interval(*shares)
        covered.append(low <= 0.3 <= high)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_the_interval_of_a_clustered_share_covers_it_where_that_of_single_trials_does_not():
    random = np.random.default_rng(4)
    covered, naive = [], []
    for _ in range(1500):
        counts = random.integers(5, 10, 150)
        hits = random.binomial(counts, random.beta(1.6, 0.4, 150))  # pictures of their own: 80 % on average
        low, high = clustered_share_interval(hits, counts)
        covered.append(low <= 0.8 <= high)
        low, high = share_interval(hits.sum(), counts.sum())
        naive.append(low <= 0.8 <= high)
    assert 0.93 <= np.mean(covered) <= 0.97 and np.mean(naive) < 0.85
    assert clustered_share_interval([3, 3], [3, 3]) == share_interval(2, 2)


def test_pairs_take_away_what_they_share():
    shared = np.random.default_rng(2).normal(0, 100, 8)
    low, high = paired_interval(shared + 1, shared)
    assert low == pytest.approx(1) and high == pytest.approx(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: share_interval(1, 0),
        lambda: mean_interval([1]),
        lambda: paired_interval([1, 2], [1]),
        lambda: clustered_share_interval([1], [2]),
    ],
)
def test_what_has_no_interval_is_refused(call):
    with pytest.raises(UserError, match="Received"):
        call()
