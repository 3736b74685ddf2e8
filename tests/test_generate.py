"""Sampling: a picture is its caption and its seed, and what cannot be drawn is refused in one line."""

import logging
import re

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import UserError, noise
from ssagan_tf.networks import Generator
from ssagan_tf.networks.generator import overrides_at

CAPTIONS = ["a red bird", "yellow wings", "bird with red wings"]


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model(random=True)


def test_pictures_are_uint8_and_all_of_a_caption_stand_together(model):
    pictures = model.generate(CAPTIONS, seed=3, count=2)
    assert pictures.shape == (6, 8, 8, 3) and pictures.dtype == np.uint8
    assert pictures.std() > 1
    for index, caption in enumerate(CAPTIONS):
        np.testing.assert_array_equal(model.generate(caption, seed=3, count=2), pictures[2 * index : 2 * index + 2])


def test_pictures_are_those_of_the_networks_by_the_published_rule_of_8_bits(model):
    image = model(tf.constant(CAPTIONS), noise.normals([4] * 3, 5)).numpy()
    np.testing.assert_array_equal(model.generate(CAPTIONS, seed=4), ((image + 1) * 127.5).astype(np.uint8))


def test_the_same_seed_gives_the_same_picture_and_another_one_another(model):
    first = model.generate("a red bird", seed=1)
    np.testing.assert_array_equal(model.generate("a red bird", seed=1), first)
    assert (model.generate("a red bird", seed=2) != first).any()
    assert (model.generate("yellow wings", seed=1) != first).any()


def test_count_gives_the_next_seeds(model):
    together = model.generate("a red bird", seed=-1, count=4)
    for index, seed in enumerate([-1, 0, 1, 2]):
        np.testing.assert_array_equal(model.generate("a red bird", seed=seed)[0], together[index])


def test_a_picture_depends_neither_on_its_neighbours_nor_on_how_many_they_are(model):
    # 17 and more are drawn in several batches.
    alone = model.generate("a red bird", seed=7)[0]
    many = model.generate(["yellow wings"] * 16 + ["a red bird"] + CAPTIONS, seed=7)
    np.testing.assert_array_equal(many[16], alone)
    np.testing.assert_array_equal(many[17], alone)


def test_seeds_of_64_bits_are_taken_and_larger_ones_refused(model):
    assert len(model.generate("bird", seed=2**63 - 1)) == len(model.generate("bird", seed=-(2**63))) == 1
    for seed, count in ((2**63, 1), (2**63 - 1, 2), (-(2**63) - 1, 1)):
        with pytest.raises(UserError, match=f"Seeds have 64 bits. Received: seed={seed}, count={count}. Use"):
            model.generate("bird", seed=seed, count=count)


def test_truncation_scales_the_noise(model):
    plain = model.generate("a red bird", seed=0, count=3)
    np.testing.assert_array_equal(model.generate("a red bird", 0, 3, truncation=1.0), plain)
    half = model.generate("a red bird", 0, 3, truncation=0.5)
    scaled = model(tf.constant(["a red bird"] * 3), 0.5 * noise.normals([0, 1, 2], 5)).numpy()
    np.testing.assert_array_equal(half, ((scaled + 1) * 127.5).astype(np.uint8))
    middle = model.generate("a red bird", 0, 3, truncation=0.0)
    assert (middle == middle[0]).all()


def test_masks_come_with_the_pictures(model):
    pictures, masks = model.generate_with_masks(CAPTIONS, seed=1, count=7)
    np.testing.assert_array_equal(pictures, model.generate(CAPTIONS, seed=1, count=7))
    assert [mask.shape for mask in masks] == [(21, 4, 4, 1), (21, 8, 8, 1)]
    assert all(mask.dtype == np.float32 and 0 <= mask.min() and mask.max() <= 1 for mask in masks)


def test_captions_may_be_text_or_ids(model):
    draws = noise.normals([1, 2, 3], 5)
    ids, _ = model.caption_encoder(tf.constant(CAPTIONS))
    np.testing.assert_array_equal(model(tf.constant(CAPTIONS), draws), model(ids, draws))
    assert model(ids, draws).shape == (3, 8, 8, 3)


def test_another_generator_may_draw(model, randomize):
    other = randomize(Generator.from_config(model.generator.get_config()), seed=9)
    text, draws = tf.constant(CAPTIONS), noise.normals([1, 2, 3], 5)
    image, _ = model.with_masks(text, draws, generator=other)
    assert np.abs(image - model(text, draws)).max() > 0.01


def test_embeddings_are_those_of_the_text_encoder(model):
    ids, _ = model.caption_encoder(tf.constant(CAPTIONS))
    np.testing.assert_allclose(model.encode(CAPTIONS), model.text_encoder(ids)[1], rtol=1e-5, atol=1e-6)
    drawn = model.generate_from_embeddings(model.encode(CAPTIONS), model.noise_of([5] * 3))
    np.testing.assert_array_equal(drawn, model.generate(CAPTIONS, seed=5))


def test_unknown_words_are_told_in_the_log_and_left_out(model, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        odd = model.generate("a redd bird", seed=1)
    assert "'redd'" in caplog.text and "red" in caplog.text
    np.testing.assert_array_equal(odd, model.generate("a bird", seed=1))


def test_words_after_the_18th_are_told_and_left_out(model, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        long = model.generate("red " * 19 + "bird", seed=1)
    assert "first 18 of 20" in caplog.text
    np.testing.assert_array_equal(long, model.generate("red " * 18, seed=1))


def test_where_masks_are_held_closed_the_text_does_not_act(model):
    closed = np.zeros((8, 8))
    one, other = (model.generate(caption, seed=1, mask_overrides=closed) for caption in ("a red bird", "yellow wings"))
    np.testing.assert_array_equal(one, other)
    assert (one != model.generate("a red bird", seed=1)).any()


def test_masks_are_held_where_it_is_said_and_predicted_elsewhere(model):
    held = np.full((2, 8, 8), -1.0)
    held[1, :, 4:] = 1
    plain, masks = model.generate_with_masks("a red bird", seed=1, count=2)
    drawn, found = model.generate_with_masks("a red bird", seed=1, count=2, mask_overrides=held)
    np.testing.assert_array_equal(drawn[0], plain[0])
    np.testing.assert_array_equal(found[0][1, :, 2:], np.ones((4, 2, 1)))
    np.testing.assert_array_equal(found[1][1, :, 4:], np.ones((8, 4, 1)))
    np.testing.assert_array_equal(found[0][1, :, :2], masks[0][1, :, :2])


def test_a_coarse_mask_is_held_by_the_mean_of_the_pixels_if_half_of_them_are():
    pixels = np.array([[1, 0, -1, -1], [0.5, 0.5, -1, 1], [-1, -1, -1, 1], [-1, -1, 0.5, -1]], np.float32)
    found = overrides_at(tf.constant(pixels[None, ..., None]), 2)
    np.testing.assert_array_equal(found[0, ..., 0], [[0.5, -1], [-1, 0.75]])


@pytest.mark.parametrize(
    "overrides, problem",
    [
        (np.zeros((4, 4)), "shape (4, 4)"),
        (np.zeros((3, 8, 8)), "shape (3, 8, 8)"),
        (np.full((8, 8), 2.0), "from 2.0 to 2.0"),
        (np.full((8, 8), np.nan), "from nan to nan"),
        (np.full((8, 8), -np.inf), "from -inf"),
        ("closed", "closed"),
        ([[0], [1, 2]], "inhomogeneous"),
    ],
)
def test_mask_overrides_that_are_none_are_refused_in_one_line(model, overrides, problem):
    with pytest.raises(UserError, match=f"Received: .*{re.escape(problem)}"):
        model.generate("a red bird", count=2, mask_overrides=overrides)


def test_odd_text_is_drawn(model):
    # Half of a surrogate pair, which UTF-8 has no bytes for; NUL; ten thousand words.
    plain = model.generate("a red bird", seed=1)
    np.testing.assert_array_equal(model.generate("a \ud83d red \0 bird", seed=1), plain)
    np.testing.assert_array_equal(model.generate("A RED\ufffd\ufffdBÏRD bird", seed=1), plain)
    assert model.generate("a red bird " * 3333, seed=1).shape == (1, 8, 8, 3)


def test_text_needs_a_vocabulary(tiny_model):
    without = tiny_model(vocabulary=None)
    with pytest.raises(UserError, match="no vocabulary. Received"):
        without.generate("a red bird")
    with pytest.raises(UserError, match="no vocabulary. Received"):
        without(tf.constant(["a red bird"]), noise.normals([0], 5))
    assert without(tf.constant([[1, 2, 0]]), noise.normals([0], 5)).shape == (1, 8, 8, 3)
