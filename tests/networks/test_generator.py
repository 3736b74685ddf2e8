"""The generator: any size and width in range, masks that stay in [0, 1] and steer, and a way to a file and back."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.networks import Generator

SIZES = [8, 16, 32, 64, 128, 256]
TINY = {"base_filters": 2, "image_size": 16, "noise_dim": 5, "sentence_dim": 6, "mask_filters": 3}


def inputs(batch: int = 2, dtype="float32", seed: int = 0):
    random = np.random.default_rng(seed)
    noise, sentence = random.normal(size=(batch, 5)), random.normal(size=(batch, 6))
    return tf.constant(noise, dtype), tf.constant(sentence, dtype)


def parameters(nf: int, size: int, noise: int = 100, sentence: int = 256, mask: int = 100) -> int:
    """Weights of a generator, added up from the published layers."""

    def conv(i, o, k):
        return (i * k * k + 1) * o

    def conv_mask(channels):
        return conv(channels, mask, 3) + 2 * mask + conv(mask, 1, 1)

    def affine(channels):
        return 2 * ((sentence + 1) * sentence + (sentence + 1) * channels)

    blocks = int(np.log2(size)) - 1
    widths = [8 * nf] + [nf * min(8, 2 ** (blocks - 1 - index)) for index in range(blocks)]
    total = (noise + 1) * 4 * 4 * 8 * nf + conv_mask(8 * nf) + 2 * nf + conv(nf, 3, 3)
    for index, (i, o) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        total += affine(i) + conv(i, o, 3) + affine(o) + conv(o, o, 3) + 1
        total += conv(i, o, 1) if i != o else 0
        total += conv_mask(o) if index < blocks - 1 else 0
    return total


def count(network) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_published_generators_have_the_published_number_of_parameters():
    assert parameters(32, 256) == 10_327_425
    assert parameters(64, 256) == 29_494_273
    assert count(Generator(32)) == 10_327_425
    assert inspect.signature(Generator).parameters["base_filters"].default == 64


@pytest.mark.parametrize("nf, size", [*((1, size) for size in SIZES), (3, 8), (3, 64)])
def test_every_size_and_width_is_built_by_the_width_rule(nf, size):
    generator = Generator(nf, size, noise_dim=5, sentence_dim=6, mask_filters=3)
    blocks = len(generator.blocks)
    assert 4 * 2 ** (blocks - 1) == size
    assert [block.filters for block in generator.blocks] == [nf * min(8, 2**i) for i in reversed(range(blocks))]
    assert generator.blocks[0].in_filters == 8 * nf
    assert count(generator) == parameters(nf, size, 5, 6, 3)


def test_wide_generators_are_built():
    assert count(Generator(64, 64)) == parameters(64, 64)
    assert [block.filters for block in Generator(8, 256).blocks] == [64, 64, 64, 64, 32, 16, 8]


@pytest.mark.parametrize("size, training", [(8, True), (16, False), (64, False)])
def test_pictures_and_masks_have_their_sizes_and_ranges(size, training, randomize):
    generator = randomize(Generator(**{**TINY, "image_size": size}))
    noise, sentence = inputs(3)
    # Large inputs drive tanh and sigmoid to their ends.
    image, masks = generator(100 * noise, 100 * sentence, training=training)
    assert image.shape == (3, size, size, 3) and image.dtype == "float32"
    assert [mask.shape for mask in masks] == [(3, h, h, 1) for h in SIZES_OF_MASKS if h <= size]
    assert np.abs(image).max() <= 1
    assert all(mask.dtype == "float32" and 0 <= mask.numpy().min() and mask.numpy().max() <= 1 for mask in masks)


SIZES_OF_MASKS = [4, *SIZES]


def close_masks(generator):
    """Makes every mask 0 exactly: the sigmoid of a very negative number."""
    for predictor in (generator.first_mask, *(block.mask for block in generator.blocks if block.mask is not None)):
        predictor.out.bias.assign([-1e4])


def test_masks_steer_text_to_pictures(randomize):
    generator = randomize(Generator(**TINY))
    noise, one = inputs()
    _, other = inputs(seed=1)
    difference = generator(noise, one)[0] - generator(noise, other)[0]
    assert np.abs(difference).max() > 0.001
    close_masks(generator)
    image, masks = generator(noise, one)
    assert all((mask.numpy() == 0).all() for mask in masks)
    np.testing.assert_array_equal(image, generator(noise, other)[0])
    assert np.abs(image - generator(2 * noise, one)[0]).max() > 0.001


def test_masks_between_blocks_are_the_enlarged_logits_not_the_enlarged_masks(randomize):
    # sigmoid(bilinear(logits)): a mask of 4x4 logits, by hand, at 8x8.
    generator = randomize(Generator(**{**TINY, "image_size": 8}))
    noise, sentence = inputs()
    x = tf.reshape(generator.project(noise), [2, generator.first_filters, 4, 4])
    x = tf.transpose(x, [0, 2, 3, 1])
    mask = tf.sigmoid(generator.first_mask(x))
    _, logits = generator.blocks[0](x, sentence, mask)
    enlarged = tf.compat.v1.image.resize_bilinear(logits, [8, 8], align_corners=True)
    _, masks = generator(noise, sentence)
    np.testing.assert_allclose(masks[0], mask, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(masks[1], tf.sigmoid(enlarged), rtol=1e-4, atol=1e-5)


def test_the_sentence_changes_nothing_before_training():
    generator = Generator(**TINY)
    noise, one = inputs()
    np.testing.assert_array_equal(generator(noise, one)[0], generator(noise, inputs(seed=1)[1])[0])


def test_a_picture_does_not_depend_on_its_neighbours_when_sampling(randomize):
    generator = randomize(Generator(**TINY))
    noise, sentence = inputs(4)
    together = generator(noise, sentence)[0]
    alone = generator(noise[2:3], sentence[2:3])[0]
    np.testing.assert_allclose(together[2:3], alone, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_only_the_first_blocks_have_a_mask_if_so_wished(randomize, count):
    generator = randomize(Generator(2, 16, 5, 6, 3, mask_blocks=count))
    noise, sentence = np.ones((2, 5), "float32"), np.ones((2, 6), "float32")
    image, masks = generator(noise, sentence)
    assert image.shape == (2, 16, 16, 3) and [mask.shape[1] for mask in masks] == [4, 8, 16]
    for index, mask in enumerate(masks):
        assert (mask.numpy() == 1).all() == (index >= count)
    assert sum("mask" in variable.path for variable in generator.trainable_variables) == 6 * count


def test_a_mask_of_ones_is_conditional_batch_norm_without_one(randomize):
    """The masks' own weights do not reach the picture: one with masks driven to 1 draws the same."""
    unmasked = randomize(Generator(2, 8, 5, 6, 3, mask_blocks=0))
    masked = Generator(2, 8, 5, 6, 3)
    values = {variable.path.split("/", 1)[1]: variable for variable in unmasked.variables}
    for variable in masked.variables:
        name = variable.path.split("/", 1)[1]
        if name in values:
            variable.assign(values[name])
        elif name.endswith("out/bias"):
            variable.assign(np.full(variable.shape, 100.0))
    noise, sentence = np.ones((2, 5), "float32"), np.ones((2, 6), "float32")
    np.testing.assert_allclose(masked(noise, sentence)[0], unmasked(noise, sentence)[0], atol=1e-6)


def test_masks_from_outside_stand_in_for_the_predicted_ones(randomize):
    generator = randomize(Generator(**TINY))
    noise, sentence = inputs()
    image, masks = generator(noise, sentence)
    same, again = generator(noise, sentence, mask_overrides=masks)
    np.testing.assert_array_equal(image, same)
    for one, other in zip(masks, again, strict=True):
        np.testing.assert_array_equal(one, other)
    closed = [tf.zeros([1, h, h, 1]) for h in (4, 8, 16)]
    shut, zeros = generator(noise, sentence, mask_overrides=closed)
    assert all(mask.shape == (2, h, h, 1) and not mask.numpy().any() for mask, h in zip(zeros, (4, 8, 16), strict=True))
    # Nothing of the sentence is left: as if the predictors had closed all masks themselves.
    close_masks(generator)
    np.testing.assert_array_equal(shut, generator(noise, inputs(seed=1)[1])[0])


def test_one_mask_from_outside_leaves_those_before_it_and_moves_those_after_it(randomize):
    generator = randomize(Generator(**TINY))
    noise, sentence = inputs()
    _, predicted = generator(noise, sentence)
    _, (first, second, third) = generator(noise, sentence, mask_overrides=[None, tf.ones([1, 8, 8, 1]), None])
    np.testing.assert_array_equal(first, predicted[0])
    assert (second.numpy() == 1).all()
    assert np.abs(third - predicted[2]).max() > 1e-4


def test_a_mask_too_few_is_refused(randomize):
    with pytest.raises(ValueError):
        randomize(Generator(**TINY))(*inputs(), mask_overrides=[None, None])
