"""Another word in the same caption: which, where, and what it changes."""

import numpy as np
import pytest

from ssagan_tf import UserError
from ssagan_tf.data.synthbirds import COLOURS, Caption, SynthBirds, captions_with_attributes
from ssagan_tf.evaluation.masks.swaps import choose_swap, difference, swap_word

EVERY_WORD = set(COLOURS)


@pytest.mark.parametrize(
    "caption, old, new, expected",
    [
        ("a bird with a red crown", "red", "blue", "a bird with a blue crown"),
        ("a bird with a red crown", "red", "orange", "a bird with an orange crown"),
        ("An orange bird with a reddish tail", "orange", "red", "A red bird with a reddish tail"),
        ("red wings, Red belly", "red", "white", "white wings, white belly"),
        ("a red crown", "red crown", "orange tail", "an orange tail"),
        ("a bird (red)", "red", "blue", "a bird (blue)"),
        ("the banana orange", "orange", "red", "the banana red"),
    ],
)
def test_a_word_takes_the_place_of_another(caption, old, new, expected):
    assert swap_word(caption, old, new) == expected


@pytest.mark.parametrize("old", ["blue", "re", "", "."])
def test_a_word_that_is_not_there_is_refused(old):
    with pytest.raises(UserError, match="does not have that word. Received: .* for 'a red bird'. Name"):
        swap_word("a red bird", old, "green")


def test_swaps_of_drawn_birds_say_what_another_bird_would_be_told():
    """The caption after the swap is one that a bird with that other colour has, word for word but for articles."""
    source, turns = SynthBirds(8), 0
    for index in range(60):
        for turn, caption in enumerate(captions_with_attributes(source.bird("test", index))):
            swap = choose_swap(caption, turn, EVERY_WORD)
            if swap is None:
                continue
            turns += 1
            before, after = caption.text.split(), swap.caption.split()
            moved = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
            moved = [pair for pair in moved if pair not in (("a", "an"), ("an", "a"))]
            assert [tuple(word.strip(".,") for word in pair) for pair in moved] == [(swap.old, swap.new)]
            assert swap.parts and all(caption.attributes[part] == swap.old for part in swap.parts)
            assert swap.new not in caption.text
    assert turns > 500


def test_colours_of_beak_and_wing_bars_are_left_alone():
    caption = Caption("a bird with white wing bars and a red crown", {"wing_bars": "white", "crown": "red"})
    assert {choose_swap(caption, turn, EVERY_WORD).old for turn in range(20)} == {"red"}
    twice = Caption("a black crown and a black beak", {"crown": "black", "beak": "black"})
    assert choose_swap(twice, 0, EVERY_WORD) is None


def test_of_other_captions_any_colour_word_that_the_model_knows_is_swapped():
    caption = Caption("this small bird has red legs and a blue head", {})
    swaps = {(swap.old, swap.new, swap.parts) for swap in (choose_swap(caption, t, EVERY_WORD) for t in range(40))}
    assert swaps == {(old, new, ()) for old in ("red", "blue") for new in EVERY_WORD - {"red", "blue"}}
    assert choose_swap(caption, 1, {"red", "green"})[:2] == ("red", "green")
    assert choose_swap(caption, 0, {"red"}) is None and choose_swap(Caption("a bird", {}), 0, EVERY_WORD) is None


def test_a_difference_is_the_mean_over_channels_as_a_share():
    before = np.array([[[0, 0, 0], [255, 255, 255], [10, 20, 30]]], np.uint8)
    after = np.array([[[0, 0, 255], [0, 0, 0], [10, 20, 30]]], np.uint8)
    np.testing.assert_allclose(difference(before, after), [[1 / 3, 1, 0]], rtol=1e-6)
