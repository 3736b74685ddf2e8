"""The image encoder's graph: its resize, its pools, what is trained, and Keras's Inception v3 carried over."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.networks import ImageEncoder
from ssagan_tf.networks.image_encoder import INCEPTION_SIZE, _enlarge


@pytest.fixture(scope="module")
def encoder():
    return ImageEncoder()


@pytest.fixture(scope="module")
def small_encoder(encoder):
    """One with Keras's pools and another embedding, made from a configuration."""
    return ImageEncoder.from_config(encoder.get_config() | {"embedding_dim": 4, "count_padding": False})


# === Resize ===


def _bilinear_pixel(picture, row, column):
    """One pixel of the enlarged picture, by the two nearest rows and columns."""

    def taps(index, size):
        position = min(max((index + 0.5) * size / INCEPTION_SIZE - 0.5, 0), size - 1)
        low = int(position)
        return low, min(low + 1, size - 1), position - low

    top, bottom, down = taps(row, picture.shape[0])
    left, right, across = taps(column, picture.shape[1])
    upper = picture[top, left] * (1 - across) + picture[top, right] * across
    lower = picture[bottom, left] * (1 - across) + picture[bottom, right] * across
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize("shape", [(256, 256), (64, 64), (7, 5), (400, 310), (1, 1)])
def test_pictures_are_enlarged_by_the_two_nearest_rows_and_columns(shape):
    picture = np.random.default_rng(0).standard_normal((*shape, 3))
    enlarged = _enlarge(tf.constant(picture[None])).numpy()[0]
    assert enlarged.shape == (INCEPTION_SIZE, INCEPTION_SIZE, 3) and enlarged.dtype == np.float64
    for row, column in [(0, 0), (0, 298), (298, 298), (1, 150), (149, 297), (200, 33)]:
        np.testing.assert_allclose(enlarged[row, column], _bilinear_pixel(picture, row, column), atol=1e-12)


def test_pictures_of_inceptions_size_are_left_alone():
    picture = tf.random.stateless_normal([1, INCEPTION_SIZE, INCEPTION_SIZE, 3], [0, 1])
    assert _enlarge(picture) is picture


# === Pools ===


def test_average_pools_count_their_padding_as_published_or_leave_it_out(encoder, small_encoder):
    ones = tf.ones([1, 4, 4, 1])
    corner_edge_centre = [(0, 0), (0, 1), (1, 1)]
    pooled = encoder._average_pool(ones).numpy()[0, :, :, 0]
    np.testing.assert_allclose([pooled[place] for place in corner_edge_centre], [4 / 9, 6 / 9, 1], rtol=1e-6)
    np.testing.assert_allclose(small_encoder._average_pool(ones).numpy(), ones, rtol=1e-6)


# === What is trained, and shapes ===


def test_only_the_heads_are_trained(encoder):
    trained = {variable.path.split("/", 1)[-1] for variable in encoder.trainable_variables}
    assert trained == {"region_head/kernel", "code_head/kernel", "code_head/bias"}
    assert sum(int(np.prod(variable.shape)) for variable in encoder.trainable_variables) == 721_152


def test_shapes_and_that_pictures_stay_apart_in_inference(encoder):
    images = tf.random.stateless_uniform([2, 64, 64, 3], [0, 1], -1, 1)
    regions, code = encoder(images)
    assert regions.shape == (2, 17, 17, 256) and code.shape == (2, 256)
    assert regions.dtype == code.dtype == tf.float32
    alone, _ = encoder(images[1:])
    np.testing.assert_allclose(alone[0], regions[1], rtol=1e-3, atol=1e-4)
    # Random weights neither die out nor explode.
    assert 1e-2 < float(tf.math.reduce_std(regions)) < 1e2


def test_a_copy_by_configuration_is_frozen_too(small_encoder):
    assert small_encoder.embedding_dim == 4 and not small_encoder.count_padding
    assert len(small_encoder.trainable_variables) == 3


def test_unknown_weights_are_refused():
    with pytest.raises(UserError, match="'cub'"):
        ImageEncoder(weights="cub")


def test_weights_that_cannot_be_had_are_told_in_one_line(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure on https://example.org: None -- unreachable")

    monkeypatch.setattr(keras.applications, "InceptionV3", fail)
    with pytest.raises(UserError, match="could not get the ImageNet weights"):
        ImageEncoder(weights="imagenet")


# === Keras's Inception v3 ===


def _keras_inception(seed):
    """Keras's graph with random weights, running statistics and shifts too."""
    keras.utils.set_random_seed(seed)
    inception = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(INCEPTION_SIZE, INCEPTION_SIZE, 3)
    )
    random = np.random.default_rng(seed)
    for layer in inception.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(0.1 * random.standard_normal(layer.beta.shape))
            layer.moving_mean.assign(0.1 * random.standard_normal(layer.beta.shape))
            layer.moving_variance.assign(random.uniform(0.5, 1.5, layer.beta.shape))
        elif isinstance(layer, keras.layers.Conv2D):
            fan_in = np.prod(layer.kernel.shape[:-1])
            layer.kernel.assign(random.standard_normal(layer.kernel.shape) * (2 / fan_in) ** 0.5)
    return inception


@pytest.mark.slow
def test_keras_weights_give_kerass_features_if_the_padding_is_left_out():
    _keras_inception(0)  # The second model's layers begin at another number.
    inception = _keras_inception(1)
    images = tf.random.stateless_uniform([2, INCEPTION_SIZE, INCEPTION_SIZE, 3], [0, 1], -1, 1)
    expected = tf.reduce_mean(inception(images, training=False), [1, 2]).numpy()
    results = {}
    for count_padding in (False, True):
        encoder = ImageEncoder(2048, count_padding=count_padding)
        encoder.copy_from_keras(inception)
        encoder.code_head.kernel.assign(np.eye(2048))
        encoder.code_head.bias.assign(np.zeros(2048))
        results[count_padding] = encoder(images)[1].numpy()
    size = np.linalg.norm(expected)
    assert np.linalg.norm(results[False] - expected) < 1e-5 * size
    # The published pools make it another function: the reason why the choice is stored with the model.
    assert np.linalg.norm(results[True] - expected) > 0.02 * size
