"""Winograd's convolution against TensorFlow's in float64, and where the generator takes it."""

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.networks import Generator, winograd

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape,filters", [((2, 4, 4, 3), 5), ((3, 8, 12, 7), 1), ((1, 16, 16, 256), 20)])
def test_it_is_the_convolution_but_for_rounding(shape, filters):
    x, kernel = RANDOM.normal(size=shape), RANDOM.normal(size=(3, 3, shape[-1], filters))
    exact = tf.nn.conv2d(x, kernel, 1, "SAME").numpy()
    found = winograd.conv3x3(tf.constant(x, tf.float32), tf.constant(kernel, tf.float32))
    assert np.abs(found - exact).max() < 5e-5 * np.abs(exact).max()


def test_any_number_of_pictures_even_none():
    kernel = tf.ones([3, 3, 2, 4])
    draw = tf.function(lambda x: winograd.conv3x3(x, kernel), [tf.TensorSpec([None, 8, 8, 2])])
    assert [draw(tf.ones([count, 8, 8, 2])).shape[0] for count in (0, 1, 3)] == [0, 1, 3]


@pytest.mark.parametrize(
    "shape,dtype,pays",
    [
        ((1, 32, 32, 256), "float32", True),
        ((None, 32, 64, 512), "float32", True),
        ((1, 32, 32, 255), "float32", False),  # few channels
        ((1, 16, 16, 512), "float32", False),  # few pixels
        ((1, 34, 32, 256), "float32", False),  # not in fours
        ((1, None, 32, 256), "float32", False),
        ((1, 32, None, 256), "float32", False),
        ((1, 32, 32, 256), "bfloat16", False),
        ((1, 32, 32, 256), "float64", False),
    ],
)
def test_where_it_pays(shape, dtype, pays, monkeypatch):
    x, kernel = tf.keras.Input(batch_shape=shape, dtype=dtype), tf.zeros([3, 3, shape[-1], 4], dtype)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert winograd.pays(x, kernel) == pays
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    assert not winograd.pays(x, kernel)


def test_a_wide_generator_draws_the_same_pictures_with_it_and_trains_without(monkeypatch):
    calls, plain = [], winograd.conv3x3
    monkeypatch.setattr(winograd, "conv3x3", lambda *given: calls.append(given) or plain(*given))
    generator = Generator(base_filters=64, image_size=64, sentence_dim=8, mask_filters=4)
    for block in generator.blocks:
        block.gate.assign(0.7)
    noise, sentence = tf.random.stateless_normal([2, 100], [0, 1]), tf.random.stateless_normal([2, 8], [0, 2])
    generator(noise, sentence, training=True)
    assert not calls

    fast = generator(noise, sentence)
    assert calls
    monkeypatch.setattr(winograd, "pays", lambda *_: False)
    for one, other in zip(tf.nest.flatten(fast), tf.nest.flatten(generator(noise, sentence)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
