"""A step's random numbers are TensorFlow's, and the same whether or not XLA compiles the step."""

import numpy as np
import pytest
import tensorflow as tf
from small_gan import gan

from ssagan_tf.step import random
from ssagan_tf.step.augmentation import Augmentation

SEED = tf.constant([5, -7], tf.int64)


@pytest.mark.parametrize("shape", [[6, 100], [3, 7], [1]])
def test_on_a_cpu_they_are_those_of_tensorflow(shape):
    np.testing.assert_array_equal(random.uniform(shape, SEED), tf.random.stateless_uniform(shape, SEED))
    np.testing.assert_allclose(random.normal(shape, SEED), tf.random.stateless_normal(shape, SEED), atol=1e-5)
    np.testing.assert_array_equal(random.fold_in(SEED, 3), tf.random.fold_in(SEED, 3))


def test_normals_have_their_moments_and_none_is_infinite():
    drawn = random.normal([100_000], SEED).numpy()
    assert np.isfinite(drawn).all()
    for power, moment, deviation in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(drawn**power) - moment) < 5 * np.sqrt(deviation / len(drawn))


def test_a_step_draws_the_same_noise_and_variations_with_xla():
    model = gan(augmentation=Augmentation(adaptive=False), seed=3)
    model.compile()
    model.optimizer.iterations.assign(11)
    pictures = tf.random.stateless_uniform([4, 8, 8, 3], SEED, -1, 1)

    def draw():
        return (
            model._noise({"image": pictures}, model._seed_of_step()),
            model._augment(pictures, "generated"),
            model._augment(pictures, "real"),
        )

    noise, generated, real = tf.function(draw)()
    assert not np.allclose(generated, real) and not np.allclose(generated, pictures)
    for one, other in zip((noise, generated, real), tf.function(draw, jit_compile=True)(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
