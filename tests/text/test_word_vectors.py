"""Word vectors in GloVe's text format: known words get theirs, others are like them, and damage is told."""

import numpy as np
import pytest

from ssagan_tf import UserError, Vocabulary
from ssagan_tf.text.word_vectors import dimension, read, start_words

VOCABULARY = Vocabulary.build(["a red bird with yellow wings"])


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("the 9 9 9\nred 1 -2 0.5\nbird 3 4 -1e-1\nred 7 7 7\n")
    return path


def test_words_of_the_vocabulary_get_their_vectors_by_spelling(glove):
    assert dimension(glove) == 3
    found = read(glove, VOCABULARY)
    assert {VOCABULARY.words[index]: list(vector) for index, vector in found.items()} == {
        "red": [1, -2, 0.5],
        "bird": [3, 4, np.float32(-0.1)],
    }


def test_other_words_start_with_the_mean_and_spread_of_those(glove):
    vocabulary = Vocabulary.build(["red bird", " ".join(f"w{number}" for number in range(4000))])
    rows = start_words(np.zeros((len(vocabulary), 3), np.float32), read(glove, vocabulary), seed=1)
    np.testing.assert_allclose(rows[1:3], [[1, -2, 0.5], [3, 4, -0.1]])
    np.testing.assert_allclose(rows[3:].mean(0), [2, 1, 0.2], atol=0.2)
    np.testing.assert_allclose(rows[3:].std(0), [1, 3, 0.3], rtol=0.1)


def test_too_few_known_words_change_nothing(glove):
    before = np.ones((3, 3), np.float32)
    np.testing.assert_array_equal(start_words(before, {1: np.zeros(3, np.float32)}, 0), before)


def test_a_first_line_of_counts_is_passed_over(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("2 3\nred 1 2 3\nbird 4 5 6\n")
    assert dimension(path) == 3 and len(read(path, VOCABULARY)) == 2


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "has no word vectors"),
        ("the 1 2\nred 1 nan\n", "no word vector of 2 numbers. Received: .*line 2"),
        ("the 1 2\nred 1 2 3\n", "no word vector of 2 numbers. Received: .*line 2"),
        ("the 1 2\nred one two\n", "no word vector of 2 numbers. Received: .*line 2"),
        ("{}", "not in GloVe's text format"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path, text, problem):
    path = tmp_path / "glove.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=problem):
        read(path, VOCABULARY)


def test_a_missing_file_says_what_to_put_where(tmp_path):
    with pytest.raises(UserError, match="Download glove.6B.zip.*--word_vectors=FILE"):
        dimension(tmp_path / "none")
