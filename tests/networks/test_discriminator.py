"""The discriminator: any size and width in range, two public halves, and a whole way to a file and back."""

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.networks import Discriminator

TINY = {"base_filters": 2, "image_size": 16, "sentence_dim": 6}


def inputs(batch: int = 3, size: int = 16, dtype="float32"):
    random = np.random.default_rng(0)
    images, sentence = random.uniform(-1, 1, (batch, size, size, 3)), random.normal(size=(batch, 6))
    return tf.constant(images, dtype), tf.constant(sentence, dtype)


def parameters(nf: int, size: int, sentence: int = 256) -> int:
    """Weights of a discriminator, unused ones included, added up from the published layers."""
    widths = [nf] + [nf * min(16, 2 ** (index + 1)) for index in range(int(np.log2(size)) - 2)]
    total = (3 * 9 + 1) * nf + (widths[-1] + sentence) * 9 * 2 * nf + 2 * nf * 16
    return total + sum(i * 16 * o + o * 9 * o + (i + 1) * o + 1 for i, o in zip(widths[:-1], widths[1:], strict=True))


def test_published_discriminators_have_the_published_number_of_parameters():
    assert parameters(32, 256) == 20_170_566
    assert parameters(64, 256) == 80_379_526
    assert Discriminator(32).count_params() == 20_170_566


@pytest.mark.parametrize("nf, size", [*((1, size) for size in (8, 16, 32, 64, 128, 256)), (3, 8), (3, 64)])
def test_every_size_and_width_is_built_by_the_width_rule(nf, size):
    discriminator = Discriminator(nf, size, sentence_dim=6)
    widths = [nf * min(16, 2 ** (index + 1)) for index in range(len(discriminator.blocks))]
    assert size // 2 ** len(widths) == 4
    assert [block.filters for block in discriminator.blocks] == widths
    assert discriminator.count_params() == parameters(nf, size, 6)


def test_logits_are_one_number_a_pair_and_the_halves_make_the_whole(randomize):
    discriminator = randomize(Discriminator(**TINY))
    images, sentence = inputs()
    features = discriminator.features(images)
    assert features.shape == (3, 4, 4, 8)
    logits = discriminator.logits(features, sentence)
    assert logits.shape == (3,) and logits.dtype == "float32"
    np.testing.assert_array_equal(discriminator(images, sentence), logits)


def test_each_logit_depends_on_its_own_picture_and_sentence(randomize):
    discriminator = randomize(Discriminator(**TINY))
    images, sentence = inputs()
    before = discriminator(images, sentence).numpy()
    other_picture = discriminator(tf.concat([-images[:1], images[1:]], 0), sentence).numpy()
    other_sentence = discriminator(images, tf.concat([-sentence[:1], sentence[1:]], 0)).numpy()
    for after in (other_picture, other_sentence):
        assert abs(after[0] - before[0]) > 1e-3
        np.testing.assert_allclose(after[1:], before[1:], atol=1e-6)


def test_the_sentence_stands_behind_the_features_at_every_place(randomize):
    discriminator = randomize(Discriminator(**TINY))
    images, sentence = inputs()
    features = discriminator.features(images).numpy()
    tiled = np.zeros((3, 4, 4, 6), "float32") + sentence.numpy()[:, None, None, :]
    hidden = discriminator.joint(np.concatenate([features, tiled], -1)).numpy()
    hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
    kernel = discriminator.out.kernel.numpy()[..., 0]
    expected = np.einsum("bhwc,hwc->b", hidden, kernel)
    np.testing.assert_allclose(discriminator.logits(features, sentence), expected, rtol=1e-4, atol=1e-5)
