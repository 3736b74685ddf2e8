"""Captions to ids: which words count when sampling and when training, and what the writer is told."""

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.text.captions import MAX_CHARACTERS, CaptionEncoder, notes
from ssagan_tf.text.vocabulary import Vocabulary

WORDS = [f"w{number}" for number in range(1, 41)]
NUMBERED = Vocabulary(["<end>", *WORDS])  # the id of "w7" is 7
BIRDS = Vocabulary(["<end>", "a", "red", "bird", "with", "yellow", "wings"])
LONG = " ".join(WORDS)


def encode(encoder: CaptionEncoder, *texts: str):
    ids, unknown = tf.function(encoder)(tf.constant(texts))
    return ids.numpy().tolist(), unknown.numpy().tolist()


def test_ids_are_those_of_the_vocabulary_with_zeros_after_the_end():
    ids, unknown = encode(CaptionEncoder(BIRDS, 5), "A red bird!", "", "yellow, yellow")
    assert ids == [[1, 2, 3, 0, 0], [0] * 5, [5, 5, 0, 0, 0]]
    assert unknown == [0, 0, 0]


def test_unknown_words_are_left_out_and_counted():
    ids, unknown = encode(CaptionEncoder(BIRDS, 4), "a purple bird with purple wings", "鸟 é nothing")
    assert ids == [[1, 3, 4, 6], [0] * 4]
    assert unknown == [2, 1]


def test_the_first_18_known_words_count_when_sampling():
    ids, _ = encode(CaptionEncoder(NUMBERED), f"purple {LONG}")
    assert ids == [list(range(1, 19))]


def test_ids_are_int64_of_fixed_width():
    ids, unknown = CaptionEncoder(BIRDS)(tf.constant(["a bird"]))
    assert ids.dtype == unknown.dtype == tf.int64
    assert ids.shape == (1, 18)


def draws(text: str, count: int, width: int = 18) -> np.ndarray:
    encoder = CaptionEncoder(NUMBERED, width)
    sample = tf.function(encoder.sample)
    return np.stack([sample(tf.constant(text), tf.constant([0, seed])) for seed in range(count)])


def test_training_draws_18_positions_in_order_and_every_position_equally_often():
    drawn = draws(LONG, 400)
    assert drawn.shape == (400, 18)
    assert (np.diff(drawn) > 0).all()
    often = np.bincount(drawn.ravel(), minlength=41)[1:]
    # 400 draws of 18 in 40: mean 180, standard deviation 9.95.
    assert np.abs(often - 180).max() < 5 * 9.95


def test_training_keeps_short_captions_whole():
    for text, expected in {"w3 w1 purple w2": [3, 1, 2], "": [], LONG[: LONG.index(" w19")]: range(1, 19)}.items():
        expected = list(expected) + [0] * (18 - len(list(expected)))
        np.testing.assert_array_equal(draws(text, 2), [expected] * 2)


def test_training_draws_depend_on_the_seed_alone():
    np.testing.assert_array_equal(draws(LONG, 3), draws(LONG, 3))
    assert len({tuple(row) for row in draws(LONG, 20)}) == 20


def test_a_good_caption_has_no_notes():
    assert notes("A red bird with yellow wings.", BIRDS, 18) == []


def test_an_unknown_word_is_told_with_the_nearest_known_ones():
    (note,) = notes("a bird with yelow yelow wings", BIRDS, 18)
    assert "'yelow'" in note and "yellow" in note
    (note,) = notes("a bird with xyzzy", BIRDS, 18)
    assert "'xyzzy'" in note and "No known word" in note


def test_words_cut_off_are_told():
    (note,) = notes(LONG, NUMBERED, 18)
    assert "first 18 of 40" in note
    assert notes(" ".join(WORDS[:18]), NUMBERED, 18) == []


@pytest.mark.parametrize("caption", [None, 3, b"a bird", ["a bird"]])
def test_what_is_no_text_is_refused(caption):
    with pytest.raises(UserError, match="must be text. Received: .*Give"):
        notes(caption, BIRDS, 18)


@pytest.mark.parametrize("caption", ["", "  ", "...", "鸟 🐦", "xyzzy plugh"])
def test_a_caption_without_a_known_word_is_refused(caption):
    with pytest.raises(UserError, match="no word that the model knows. Received: .*Describe") as refused:
        notes(caption, BIRDS, 18)
    assert "\n" not in str(refused.value)


def test_a_refusal_suggests_words():
    with pytest.raises(UserError, match="Nearest known words: yellow, wings"):
        notes("yelow wing", BIRDS, 18)


def test_a_caption_may_be_long_but_not_endless():
    text = "a bird " * 5000
    assert notes(text, BIRDS, 18) == [f"Only the first 18 of 10000 known words count: {text[:77] + '...'!r}."]
    with pytest.raises(UserError, match="too long. Received: 100,001 characters"):
        notes("x" * (MAX_CHARACTERS + 1), BIRDS, 18)


def test_of_very_many_unknown_words_the_first_ten_are_told_and_the_others_counted():
    caption = "bird " + " ".join(f"unheard{number}" for number in range(8000))
    found = notes(caption, BIRDS, 18)
    assert ["'unheard" in note for note in found] == [True] * 10 + [False]
    assert "7,990 more" in found[-1]


def test_notes_are_one_line_each_whatever_the_caption():
    for note in notes("bird \n\r\u2028 yelow\x1b[31m " + LONG, BIRDS, 3):
        assert note.isprintable()
