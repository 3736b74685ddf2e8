"""Held-out pictures: two halves that share nothing, each with its captions and what matches them."""

import types

import numpy as np
import pytest

from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.evaluation.held_out import held_out, retrieval


@pytest.fixture(scope="module")
def halves():
    source = SynthBirds(64, count={"test": 41})
    return [held_out(source, 64, half) for half in (0, 1)]


def test_the_halves_are_every_other_picture(halves):
    source = SynthBirds(64, count={"test": 41})
    for half, held in enumerate(halves):
        places = range(half, 41, 2)
        assert held.birds == tuple(source.bird("test", place) for place in places)
        expected = [np.asarray(source.examples("test")[place].load()) for place in places]
        np.testing.assert_array_equal(held.pictures, expected)
        assert [c.text for c in held.captions[3]] == list(source.examples("test")[places[3]].captions)


def test_own_captions_are_a_pictures_first_second_and_so_on_and_match_it(halves):
    held = halves[0]
    for index, own in enumerate(held.own):
        assert held.texts[own] == held.captions[index][index % 10].text
        assert held.matches(index, np.array([own])).all() and held.matches_near(index, np.array([own])).all()


def test_as_many_as_wanted_are_taken():
    held = held_out(SynthBirds(64, count={"test": 41}), 64, half=1, most=5)
    assert len(held.pictures) == len(held.captions) == len(held.birds) == 5


def test_a_split_without_a_picture_for_a_half_has_none():
    assert held_out(SynthBirds(64, count={"test": 1}), 64, half=1) is None


def test_whether_there_are_enough_mismatched_captions(halves):
    assert halves[0].enough(99) and not halves[0].enough(21 * 10)


def test_codes_that_know_the_caption_always_find_it(halves):
    held = halves[1]
    texts = np.random.default_rng(0).normal(size=(len(held.texts), 32)).astype("float32")

    def encoder(captions):
        return types.SimpleNamespace(numpy=lambda: np.arange(len(captions))), None

    damsm = types.SimpleNamespace(
        encode_pictures=lambda pictures: (None, texts[held.own]), encode_captions=lambda ids: (None, texts[ids])
    )
    assert retrieval(damsm, encoder, held) == (1.0, 0.0)
    assert retrieval(damsm, encoder, held, near=True) == (1.0, 0.0)
