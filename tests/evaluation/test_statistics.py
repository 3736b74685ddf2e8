"""The arithmetic of scores against closed forms, naive loops and SciPy."""

import numpy as np
import pytest
from absl import logging as absl_logging
from hypothesis import given, settings
from hypothesis import strategies as st
from random_features import correlated

from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.intervals import normal_interval
from ssagan_tf.evaluation.neighbors import neighborhoods
from ssagan_tf.evaluation.statistics import (
    Moments,
    frechet_distance,
    inception_score,
    kernel_distance,
)

# --- mean and covariance


@given(cuts=st.lists(st.integers(0, 50), max_size=5))
@settings(max_examples=30, deadline=None)
def test_moments_of_batches_are_those_of_all(cuts):
    features = correlated(50, 4, mean=1e4)
    moments = Moments(4)
    for part in np.split(features, sorted(cuts)):
        moments.update(part)
    np.testing.assert_allclose(moments.mean, features.mean(0), rtol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(features, rowvar=False), rtol=1e-9, atol=1e-9)


def test_restored_moments_are_those_that_were_kept():
    features = correlated(50, 4)
    first = Moments.of(features)
    kept = Moments.restore(first.count, first.mean, first.covariance)
    assert kept.count == 50
    np.testing.assert_allclose(kept.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(kept.covariance, np.cov(features, rowvar=False), rtol=1e-12)


# --- Frechet distance


def test_frechet_distance_agrees_with_scipy_on_whole_arrays():
    linalg = pytest.importorskip("scipy.linalg", reason="SciPy comes with the extra [dev]")
    first, second = correlated(500, 30, 1), correlated(400, 30, 2, mean=0.3)
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    apart = first.mean(0) - second.mean(0)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = apart @ apart + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(Moments.of(first), Moments.of(second)) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_normals_with_commuting_covariances_is_known():
    # C1 = Q diag(a) Q', C2 = Q diag(b) Q': |m|^2 + sum (sqrt a - sqrt b)^2.
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=[6, 6]))
    a, b = np.array([4.0, 1, 9, 0.25, 2, 0]), np.array([1.0, 1, 4, 0.01, 0, 3])
    mean = np.arange(6.0)
    first = Moments.restore(100, np.zeros(6), rotation * a @ rotation.T)
    second = Moments.restore(100, mean, rotation * b @ rotation.T)
    expected = mean @ mean + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count", [200, 8])
def test_frechet_distance_of_a_set_with_itself_is_zero(count):
    moments = Moments.of(correlated(count, 30))
    assert frechet_distance(moments, moments) < 1e-9 * np.trace(moments.covariance)


def test_frechet_distance_of_few_samples_is_right_for_their_covariances_and_warned_of(monkeypatch):
    # Four samples of 40 dimensions each, in subspaces that have nothing in common: the last trace is 0.
    first, second = np.zeros([4, 40]), np.zeros([4, 40])
    first[:, :20], second[:, 20:] = correlated(4, 20, 1), correlated(4, 20, 2)
    said = []
    monkeypatch.setattr(absl_logging, "warning", lambda text, *values: said.append(text % values))
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + first.var(0, ddof=1).sum() + second.var(0, ddof=1).sum()
    assert frechet_distance(Moments.of(first), Moments.of(second)) == pytest.approx(expected, rel=1e-12)
    assert "4 samples, 40 dimensions" in said[0]


def test_frechet_and_kernel_distance_are_those_of_torch_fidelity():
    fid = pytest.importorskip("torch_fidelity.metric_fid", reason="pip install torch-fidelity")
    kid = pytest.importorskip("torch_fidelity.metric_kid", reason="pip install torch-fidelity")
    first, second = correlated(300, 12, 1), correlated(300, 12, 2, mean=0.3)
    moments = [{"mu": x.mean(0), "sigma": np.cov(x, rowvar=False)} for x in (first, second)]
    expected = fid.fid_statistics_to_metric(*moments, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(Moments.of(first), Moments.of(second)) == pytest.approx(expected, rel=1e-6)
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    kernels = [kid.kernel_poly(x, y, **options) for x, y in ((first, first), (first, second), (second, second))]
    assert kernel_distance(first, second).value == pytest.approx(kid.mmd2(*kernels), rel=1e-6)


# --- KID


def test_kernel_distance_is_that_of_a_double_loop(small_blocks):
    first, second = correlated(23, 5, 1), correlated(17, 5, 2, mean=0.5)

    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / 5 + 1) ** 3

    def within(points):
        n = len(points)
        return sum(kernel(points[i], points[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    across = sum(kernel(x, y) for x in first for y in second) / (23 * 17)
    expected = within(first) + within(second) - 2 * across
    assert kernel_distance(first, second).value == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_is_unbiased():
    # Halves of one small population, all ways to part it: the mean of an unbiased estimator is the population's own
    # value, which for a population parted without replacement is exactly 0.
    from itertools import combinations

    population = correlated(6, 2)
    values = []
    for chosen in combinations(range(6), 3):
        rest = [index for index in range(6) if index not in chosen]
        values.append(kernel_distance(population[list(chosen)], population[rest]).value)
    assert np.mean(values) == pytest.approx(0, abs=1e-9 * np.std(values))


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.8])
def test_intervals_of_the_kernel_distance_cover_the_truth(shift):
    # Drawn from finite populations, so that the truth is a mean over all of their pairs.
    random = np.random.default_rng(0)
    first = random.normal(0, 1, [40, 3])
    second = random.normal(shift, 1, [40, 3]) if shift else first

    def mean_kernel(x, y):
        return ((x @ y.T / 3 + 1) ** 3).mean()

    truth = mean_kernel(first, first) + mean_kernel(second, second) - 2 * mean_kernel(first, second)
    covered = 0
    for _ in range(300):
        found = kernel_distance(random.choice(first, 150), random.choice(second, 200))
        low, high = normal_interval(*found)
        covered += low <= truth <= high
    assert 0.92 <= covered / 300 <= 0.985


# --- Inception Score


def test_inception_score_of_known_label_mixes():
    def sure(labels):
        return 1000.0 * np.eye(5)[labels]

    everything = np.repeat(np.arange(5), 20)  # each class as often: as many as there are classes
    assert inception_score(sure(everything), 10) == pytest.approx((5, 0))
    assert inception_score(sure(np.zeros(40, int)), 10) == pytest.approx((1, 0))  # one class only
    assert inception_score(np.zeros([40, 5]), 10) == pytest.approx((1, 0))  # no idea of any
    mixed = np.array([0, 0, 0, 1])  # entropy of (3/4, 1/4)
    expected = np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert inception_score(sure(mixed), 1) == pytest.approx((expected, 0))


def test_inception_score_of_splits_is_mean_and_deviation():
    first, second = np.eye(2)[[0, 1]] * 1000, np.eye(2)[[0, 0]] * 1000  # scores 2 and 1
    interleaved = np.stack([first, second], 1).reshape(4, 2)
    assert inception_score(interleaved, 2) == pytest.approx((1.5, 0.5))


# --- what is refused


@pytest.mark.parametrize("score", [kernel_distance, neighborhoods])
def test_features_that_do_not_fit_are_refused(score):
    with pytest.raises(UserError, match="another shape"):
        score(np.zeros([9, 3]), np.zeros([9, 4]))
    with pytest.raises(UserError, match="not finite"):
        score(np.zeros([9, 3]), np.full([9, 3], np.nan))
    with pytest.raises(UserError, match="Received: 1"):
        score(np.zeros([9, 3]), np.zeros([1, 3]))


def test_moments_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="different lengths"):
        frechet_distance(Moments(3), Moments(4))
    with pytest.raises(UserError, match="two samples"):
        frechet_distance(Moments(3), Moments(3))
    with pytest.raises(UserError, match="splits"):
        inception_score(np.zeros([3, 2]), 10)
