"""Noise: Philox as published, one rule in NumPy and in a graph, a row for a seed and nothing else."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ssagan_tf import UserError, noise
from ssagan_tf.noise import normals, normals_in_graph, philox_words

SEEDS = [0, 1, 42, -1, -(2**63), 2**63 - 1, 2**32, 2**32 - 1, 123_456_789_012_345]
WORD = 2**32 - 1


def philox4x32(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in plain integers, as Salmon et al. write it down."""
    for _ in range(10):
        product0, product1 = counter[0] * 0xD2511F53, counter[2] * 0xCD9E8D57
        high0, low0, high1, low1 = product0 >> 32, product0 & WORD, product1 >> 32, product1 & WORD
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) & WORD, (key[1] + 0xBB67AE85) & WORD]
    return counter


def key_of(seed: int) -> list[int]:
    return [seed & WORD, (seed >> 32) & WORD]


# The known answers of Random123 (`kat_vectors`): counter, key, words.
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([WORD] * 4, [WORD] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def test_words_of_seed_0_are_the_published_known_answer():
    assert philox_words([0], 4)[0].tolist() == KNOWN[0][2]


@pytest.mark.parametrize("counter, key, words", KNOWN)
def test_reference_in_plain_integers_gives_the_known_answers(counter, key, words):
    assert philox4x32(counter, key) == words


@pytest.mark.parametrize("seed", SEEDS)
def test_words_are_philox_of_block_number_and_seed(seed):
    expected = [word for block in range(5) for word in philox4x32([block, 0, 0, 0], key_of(seed))]
    assert philox_words([seed], 20)[0].tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_words_are_those_of_tensorflows_generator(seed):
    key = np.array(seed, np.int64).view(np.uint64)
    generator = tf.random.Generator.from_state(np.array([0, 0, key], np.uint64).view(np.int64), alg="philox")
    words = generator.uniform_full_int([100], tf.uint32).numpy()
    np.testing.assert_array_equal(philox_words([seed], 100)[0], words)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4), st.integers(1, 23), st.integers(1, 23))
@settings(max_examples=200, deadline=None)
def test_a_row_depends_on_its_seed_alone_and_its_start_not_on_the_count(seeds, count, longer):
    together = normals(seeds, count + longer)
    assert together.shape == (len(seeds), count + longer) and together.dtype == np.float32
    for row, seed in zip(together, seeds, strict=True):
        np.testing.assert_array_equal(normals([seed], count)[0], row[:count])


def test_normals_are_box_muller_of_the_words():
    words = [int(word) for word in philox_words([7], 100)[0]]
    expected = []
    for first, second in zip(words[0::2], words[1::2], strict=True):
        radius = np.sqrt(-2 * np.log((first + 1) / 2**32))
        expected += [radius * np.cos(2 * np.pi * second / 2**32), radius * np.sin(2 * np.pi * second / 2**32)]
    np.testing.assert_allclose(normals([7], 100)[0], expected, rtol=1e-6, atol=1e-7)


def test_normals_have_the_moments_of_a_standard_normal():
    drawn = normals(np.arange(2000), 100).astype(np.float64)
    # Five standard errors of 200,000 numbers.
    assert abs(drawn.mean()) < 5 / np.sqrt(drawn.size)
    assert abs(drawn.var() - 1) < 5 * np.sqrt(2 / drawn.size)
    assert abs((drawn**3).mean()) < 5 * np.sqrt(15 / drawn.size)
    assert abs((drawn**4).mean() - 3) < 5 * np.sqrt(96 / drawn.size)
    neighbours = (drawn[:, :-1] * drawn[:, 1:]).mean(), (drawn[:-1] * drawn[1:]).mean()
    assert max(map(abs, neighbours)) < 5 / np.sqrt(drawn.size)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_graph_gives_what_numpy_gives(count):
    in_graph = tf.function(lambda seeds: normals_in_graph(seeds, count))(tf.constant(SEEDS, tf.int64)).numpy()
    expected = normals(SEEDS, count)
    assert in_graph.shape == expected.shape and in_graph.dtype == expected.dtype
    # The words are equal; a transcendental function may differ by the last bit of a float64.
    np.testing.assert_allclose(in_graph, expected, rtol=2e-7, atol=0)
    assert np.mean(in_graph == expected) > 0.99


def test_graph_takes_a_batch_of_any_size():
    function = tf.function(lambda seeds: normals_in_graph(seeds, 5), input_signature=[tf.TensorSpec([None], tf.int64)])
    assert function(tf.zeros([0], tf.int64)).shape == (0, 5)
    np.testing.assert_array_equal(function(tf.constant([3, 4], tf.int64))[1:], function(tf.constant([4], tf.int64)))


def test_noise_is_cut_as_dfgan_does_by_name():
    stats = pytest.importorskip("scipy.stats", reason="SciPy comes with the extra [dev]")
    values = noise.normals(np.arange(50), 101)
    found = noise.truncated(values, "dfgan:0.8")
    expected = 0.8 * stats.truncnorm.ppf(stats.norm.cdf(values.astype(np.float64)), -2, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32 and np.abs(values).max() > 3 > 1.6 >= np.abs(found).max()
    np.testing.assert_array_equal(noise.truncated(values, 0.5), values * np.float32(0.5))


@pytest.mark.parametrize("text", ["half", "dfgan:", "other:0.5", "-1", "nan"])
def test_what_is_no_truncation_is_refused(text):
    with pytest.raises(UserError, match=f"is a factor. Received: --truncation={text}"):
        noise.truncation_of(text)
    assert noise.truncation_of("0.5") == 0.5 and noise.truncation_of("dfgan:0.5") == "dfgan:0.5"
