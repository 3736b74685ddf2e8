"""Masks against sets of pixels: the areas against counted pairs, the overlaps against Python's sets."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssagan_tf import UserError
from ssagan_tf.evaluation.masks.localization import THRESHOLDS, MaskScores, areas_under_curve, enlarged, overlaps


def pairs_won(scores, target) -> float:
    """The area under the curve by counting: every pixel inside against every one outside, equal ones half."""
    inside, outside = scores[target], scores[~target]
    if not len(inside) or not len(outside):
        return np.nan
    won = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(inside, outside)]
    return sum(won) / len(won)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=25))
def test_areas_are_the_share_of_pairs_in_the_right_order_ties_half(pixels):
    scores = np.array([score for score, _, _ in pixels], np.float32) / 4
    targets = np.array([[a for _, a, _ in pixels], [b for _, _, b in pixels]])
    expected = [pairs_won(scores, target) for target in targets]
    np.testing.assert_allclose(areas_under_curve(scores, targets), expected, rtol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=25))
def test_overlaps_are_those_of_sets(pixels):
    scores = np.array([score for score, _ in pixels], np.float32) / 8
    target = np.array([[inside for _, inside in pixels]])
    thresholds = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    wanted = set(np.flatnonzero(target[0]))
    for threshold, value in zip(thresholds, overlaps(scores, target, thresholds)[0], strict=True):
        chosen = set(np.flatnonzero(scores >= threshold))
        expected = len(chosen & wanted) / len(chosen | wanted) if chosen | wanted else np.nan
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_masks_are_enlarged_between_the_centres_of_their_cells():
    # Two cells over four pixels: centres at 1 and 3, pixels at 0.5, 1.5, 2.5, 3.5.
    mask = np.array([[0.0, 1.0], [0.0, 1.0]], np.float32)[..., None]
    np.testing.assert_allclose(enlarged(mask, 4), np.tile([0.0, 0.25, 0.75, 1.0], (4, 1)))
    same = np.random.default_rng(0).uniform(size=(8, 8)).astype(np.float32)
    np.testing.assert_array_equal(enlarged(same, 8), same)


def scored(mask_of, count=40, size=16, stages=(16,)):
    """Results where the target is a random half of the picture, and the mask what `mask_of` makes of it."""
    random = np.random.default_rng(0)
    scores = MaskScores(stages, ["half"])
    for _ in range(count):
        target = random.uniform(size=(size, size)) < 0.5
        scores.add([mask_of(target, stage, random) for stage in stages], {"half": target})
    return scores


def values(scores, stage="16x16"):
    return scores.results()["half"][stage]


def test_a_perfect_mask_has_one_everywhere():
    found = values(scored(lambda target, stage, random: np.where(target, 0.9, 0.1)))
    assert found["area"] == 1 and found["iou"] == 1 and found["best_iou"] == 1
    # What knows nothing of this picture finds half of it.
    assert found["area_of_another"] == pytest.approx(0.5, abs=0.02) and found["share"] == pytest.approx(0.5, abs=0.02)


def test_an_inverted_mask_has_nothing_and_a_random_one_half():
    found = values(scored(lambda target, stage, random: np.where(target, 0.1, 0.9)))
    assert found["area"] == 0 and found["iou"] == 0
    assert found["best_iou"] == pytest.approx(found["share"])  # of all pixels
    found = values(scored(lambda target, stage, random: random.uniform(size=target.shape)))
    assert found["area"] == pytest.approx(0.5, abs=0.02)
    assert found["iou"] == pytest.approx(1 / 3, abs=0.02)


def test_a_mask_of_ones_has_half_and_the_share_of_the_target():
    found = values(scored(lambda target, stage, random: np.ones([stage, stage])))
    assert found["area"] == 0.5 and found["area_of_another"] == 0.5
    assert found["iou"] == pytest.approx(found["share"]) == found["best_iou"]


def test_the_best_threshold_is_found():
    scores = scored(lambda target, stage, random: np.where(target, 0.25, 0.15))
    assert values(scores)["iou"] == 0 and values(scores)["best_iou"] == 1
    assert 0.15 < values(scores)["threshold"] <= 0.25 and values(scores)["threshold"] in THRESHOLDS


def test_a_coarse_mask_finds_a_coarse_target_and_stages_are_averaged():
    def mask_of(target, stage, random):
        return np.ones([stage, stage]) if stage == 4 else np.where(target, 1.0, 0.0)

    scores = scored(mask_of, stages=(4, 16))
    assert [values(scores, name)["area"] for name in ("4x4", "16x16")] == [0.5, 1.0]
    assert scores.areas("half").mean() == 0.75


def test_pictures_without_the_target_or_full_of_it_are_left_out():
    scores = MaskScores([4], ["some", "never"])
    empty, full = np.zeros([4, 4], bool), np.ones([4, 4], bool)
    corner = empty.copy()
    corner[0, 0] = True
    for target in (empty, full, corner):
        scores.add([np.where(corner, 1.0, 0.0)], {"some": target, "never": empty})
    assert scores.count("some") == 1 and scores.count("never") == 0
    assert list(scores.results()) == ["some"]
    assert scores.results()["some"]["4x4"]["share"] == 1 / 16 and scores.areas("some").mean() == 1
    with pytest.raises(UserError, match="No picture could be scored. Received: none with 'never'. Draw"):
        scores.areas("never")
