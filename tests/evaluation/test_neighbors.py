"""Scores by nearest neighbors against double loops, prdc's definitions and cases that are known."""

import numpy as np
import pytest
from random_features import correlated

from ssagan_tf.evaluation.neighbors import memorization, nearest_of, neighborhoods


def test_precision_and_recall_of_a_set_with_itself_are_one(small_blocks):
    features = correlated(30, 4)
    assert neighborhoods(features, features)[:2] == (1, 1)
    same = np.repeat(correlated(2, 4), 10, 0)  # balls without extent
    assert neighborhoods(same, same)[:2] == (1, 1)


def test_precision_and_recall_of_sets_far_apart_are_zero(small_blocks):
    assert neighborhoods(correlated(30, 4, 1), correlated(25, 4, 2, mean=1000))[:2] == (0, 0)


def test_recall_alone_suffers_from_a_lost_mode_and_precision_alone_from_a_wrong_one(small_blocks):
    one, other = correlated(20, 3, 1), correlated(20, 3, 1) + 1000
    assert neighborhoods(np.concatenate([one, other]), one)[:2] == (1, 0.5)
    assert neighborhoods(one, np.concatenate([one, other]))[:2] == (0.5, 1)


def test_precision_is_that_of_a_double_loop(small_blocks):
    real, drawn = correlated(25, 3, 1), correlated(22, 3, 2)

    def covered(support, asked):
        radii = [sorted(np.linalg.norm(support - point, axis=1))[3] for point in support]  # 0 is the point itself
        hits = [any(np.linalg.norm(point - s) <= r for s, r in zip(support, radii, strict=True)) for point in asked]
        return np.mean(hits)

    found = neighborhoods(real, drawn)[:2]
    assert found == (covered(real, drawn), covered(drawn, real))
    assert 0 < found[0] < 1


def test_density_and_coverage_are_those_of_a_double_loop(small_blocks):
    real, generated = correlated(25, 3, 1), correlated(22, 3, 2)
    radii = [sorted(np.linalg.norm(real - point, axis=1))[3] for point in real]
    inside = np.array(
        [[np.linalg.norm(g - r) <= radius for g in generated] for r, radius in zip(real, radii, strict=True)]
    )
    found = neighborhoods(real, generated)
    assert found.density == pytest.approx(inside.sum() / (3 * 22), rel=1e-12)
    assert found.coverage == inside.any(1).mean()
    assert found.density_error == pytest.approx(inside.sum(0).std(ddof=1) / 3 / np.sqrt(22), rel=1e-12)


def test_all_four_are_those_of_prdc(small_blocks):
    prdc = pytest.importorskip("prdc", reason="prdc comes with the extra [dev]")
    real, generated = correlated(200, 8, 1), correlated(150, 8, 2)
    expected = prdc.compute_prdc(real, generated, 5)
    found = neighborhoods(real, generated, 5)._asdict()
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert 0 < min(expected.values()) and expected["precision"] < 1


def test_a_feature_far_away_does_not_blur_the_balls_of_others():
    line = np.arange(10.0)[:, None]
    real = np.concatenate([line, [[1e9]]])
    assert neighborhoods(real, line[:5] - 5, 1).precision == 0.2  # -1 alone is within 1 of 0


def test_the_nearest_is_found_across_blocks(small_blocks):
    features, others = correlated(20, 3, 1), correlated(30, 3, 2)
    indices, distances = nearest_of(features, others)
    table = np.linalg.norm(features[:, None] - others, axis=-1)
    assert (indices == table.argmin(1)).all()
    np.testing.assert_allclose(distances, table.min(1), rtol=1e-9)


def test_copies_are_told_from_new_pictures():
    random = np.random.default_rng(0)
    training, held_out, new = (random.normal(size=[400, 8]) for _ in range(3))
    honest = memorization(new, training, held_out)
    assert honest.copies < 0.04 and 0.9 < honest.ratio < 1.1
    copied = memorization(training[:100] + 1e-3 * random.normal(size=[100, 8]), training, held_out)
    assert copied.copies == 1 and copied.ratio < 0.01
    assert (copied.indices == np.arange(100)).all()
