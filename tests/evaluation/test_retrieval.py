"""Retrieval: perfect and ignorant encoders in closed form, and that mismatched captions really do not match."""

import numpy as np
import pytest

from ssagan_tf import UserError
from ssagan_tf.evaluation.retrieval import retrieval_precision, same_class, same_text, true_of


def nothing_else(picture, captions):
    return np.zeros(len(captions), bool)


def codes(count: int, size: int = 16, seed: int = 0):
    return np.random.default_rng(seed).normal(size=(count, size))


def test_pictures_that_know_their_captions_always_find_them():
    captions = codes(150)
    pictures = 3.0 * captions  # the cosine does not see lengths
    assert retrieval_precision(pictures, captions, np.arange(150), nothing_else) == (1.0, 0.0)


def test_the_right_caption_may_be_anywhere():
    captions = codes(150)
    order = np.random.default_rng(1).permutation(150)
    assert retrieval_precision(captions[order], captions, order, nothing_else).mean == 1.0
    assert retrieval_precision(captions[order], captions, np.arange(150), nothing_else).mean < 0.1


def test_ignorant_pictures_find_one_in_a_hundred():
    found = retrieval_precision(codes(500), codes(500, seed=1), np.arange(500), nothing_else, draws=20)
    # 10,000 looks at 1 %, of which 20 share a picture: three deviations of 500 independent ones.
    assert 0.01 - 3 * 0.0045 < found.mean < 0.01 + 3 * 0.0045
    assert 0 < found.deviation < 0.01


def test_codes_that_are_all_the_same_find_one_in_a_hundred_too():
    for constant in (0.0, 1.0):
        found = retrieval_precision(codes(120), np.full((120, 16), constant), np.arange(120), nothing_else)
        np.testing.assert_allclose(found, (0.01, 0.0), atol=1e-12)


def test_precision_of_partial_knowledge_in_closed_form():
    # A caption's code tells which half of a cube it is in; each half holds 100 of 200: the right one is equally near
    # as all mismatched ones of its half, of which there are k: expected 1 / (1 + k), averaged over hypergeometric k.
    half = np.arange(200) % 2
    known = np.eye(2)[half]
    found = retrieval_precision(known, known, np.arange(200), nothing_else, draws=40)
    k = np.random.default_rng(0).hypergeometric(99, 100, 99, 10**6)
    np.testing.assert_allclose(found.mean, np.mean(1 / (1 + k)), rtol=0.01)


def test_the_same_seed_asks_the_same():
    arguments = codes(200, 4), codes(200, 4) + codes(200, 4, seed=1), np.arange(200), nothing_else
    assert retrieval_precision(*arguments, seed=3) == retrieval_precision(*arguments, seed=3)
    assert retrieval_precision(*arguments, seed=3) != retrieval_precision(*arguments, seed=4)


def test_what_matches_is_never_taken_as_a_mismatch():
    # Each caption exists twice. Taken as mismatches, the twins would halve the precision.
    captions = np.tile(codes(120), (2, 1))
    own = np.arange(120)

    def twin(picture, candidates):
        return candidates % 120 == picture

    assert retrieval_precision(captions[:120], captions, own, twin).mean == 1.0
    assert retrieval_precision(captions[:120], captions, own, nothing_else).mean < 0.95


def test_where_most_captions_match_all_are_tried():
    captions = codes(1000)

    def first_nine_hundred(picture, candidates):
        return candidates < 900

    assert retrieval_precision(captions[:5], captions, np.arange(5), first_nine_hundred, draws=1).mean == 1.0


def test_too_few_captions_and_codes_that_are_no_numbers_are_told():
    with pytest.raises(UserError, match="too few captions.* Received: 98 of 99 .* 99 are wanted"):
        retrieval_precision(codes(99), codes(99), np.arange(99), nothing_else)
    with pytest.raises(UserError, match="diverged"):
        retrieval_precision(np.full((3, 2), np.nan), codes(3, 2), np.arange(3), nothing_else)
    with pytest.raises(UserError, match="Nothing to look for"):
        retrieval_precision(codes(0), codes(100), np.arange(0), nothing_else)


def test_the_same_words_match_whoever_wrote_them():
    captions_of = [("A red bird.", "a big bird"), ("a blue bird", "A RED, bird")]
    candidates = ["a red bird", "a big bird", "a blue bird", "a green bird"]
    matches = same_text(captions_of, candidates)
    every = np.arange(4)
    assert matches(0, every).tolist() == [True, True, False, False]
    assert matches(1, every).tolist() == [True, False, True, False]
    assert matches(1, np.array([2, 1])).tolist() == [True, False]


def test_captions_of_the_pictures_own_class_are_no_mismatch():
    matches = same_class(["a", None, ("red", "blue")], ["a", "b", None, ("red", "blue"), "a"])
    every = np.arange(5)
    assert matches(0, every).tolist() == [True, False, False, False, True]
    assert matches(1, every).tolist() == [False] * 5  # without a class it is in nobody's
    assert matches(2, every[3:]).tolist() == [True, False]


def test_what_is_true_of_a_picture_matches_it():
    truths = [{"crown": "red", "belly": "yellow"}, {"crown": "blue", "belly": "yellow"}]
    claims = [{"belly": "yellow"}, {"crown": "red", "belly": "yellow"}, {"crown": "yellow"}, {}]
    matches = true_of(truths, claims)
    every = np.arange(4)
    assert matches(0, every).tolist() == [True, True, False, True]
    assert matches(1, every).tolist() == [True, False, False, True]


def test_a_value_of_another_attribute_is_not_taken_for_this_one():
    assert true_of([{"crown": "red", "wing": "blue"}], [{"wing": "red"}])(0, np.array([0])).tolist() == [False]
