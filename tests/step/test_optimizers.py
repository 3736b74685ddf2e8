"""Adam against its formula as published, with epsilon after the bias correction."""

import keras
import numpy as np
import processes
import pytest
import tensorflow as tf
from processes import ROOT

from ssagan_tf.step.optimizers import Adam, adam, published_optimizers


def _by_formula(weights, gradients, rate, beta1, beta2, epsilon):
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step, gradient in enumerate(gradients, 1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        weights = weights - rate * (mean / (1 - beta1**step)) / (np.sqrt(square / (1 - beta2**step)) + epsilon)
    return weights


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_adam_follows_its_formula_for_gradients_large_zero_and_as_small_as_epsilon(beta1):
    gradients = np.array([[3.0, 1e-8, 0.0], [-2.0, 3e-8, 0.0], [0.5, 0.0, 0.0]])
    start = np.array([1.0, 2.0, 3.0])
    weights = keras.Variable(start, dtype="float64")
    optimizer = Adam(1e-4, beta_1=beta1, beta_2=0.9, epsilon=1e-8)
    optimizer.build([weights])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float64")], [weights])
    expected = _by_formula(start, gradients, 1e-4, beta1, 0.9, 1e-8)
    np.testing.assert_allclose(weights.numpy() - start, expected - start, rtol=1e-9, atol=1e-18)


def test_what_was_read_before_a_step_stays_as_it_was():
    # A tensor shares the variable's memory until that is written to, which the kernel must see.
    weights = keras.Variable(np.ones([300, 300]), dtype="float32")
    optimizer = adam(0.1)
    optimizer.build([weights])

    @tf.function
    def step(gradient):
        before = tf.convert_to_tensor(weights)
        optimizer.apply([gradient], [weights])
        return before, tf.convert_to_tensor(weights)

    eager = tf.convert_to_tensor(weights)
    before, after = step(tf.ones([300, 300]))
    np.testing.assert_array_equal(eager, np.ones([300, 300]))
    np.testing.assert_array_equal(before, np.ones([300, 300]))
    np.testing.assert_allclose(after, np.full([300, 300], 0.9), rtol=1e-6)


def test_a_learning_rate_is_exact_and_the_default_float_is_as_before():
    before = keras.config.floatx()
    optimizer = adam(1e-4)
    assert float(optimizer.learning_rate) == 1e-4
    assert keras.config.floatx() == before == "float32"


def test_published_rates():
    rates = {name: float(optimizer.learning_rate) for name, optimizer in published_optimizers().items()}
    assert rates == {"generator_optimizer": 1e-4, "discriminator_optimizer": 4e-4, "encoder_optimizer": 4e-5}
    assert all(optimizer.beta_1 == 0 and optimizer.beta_2 == 0.9 for optimizer in published_optimizers().values())


def test_adam_is_restored_from_its_configuration():
    again = keras.optimizers.deserialize(keras.optimizers.serialize(adam(4e-4)))
    assert isinstance(again, Adam)
    assert (float(again.learning_rate), again.beta_1, again.beta_2) == (4e-4, 0.0, 0.9)


@pytest.mark.slow
def test_adam_follows_its_formula_on_two_devices(tmp_path):
    done = processes.python(ROOT / "tests" / "two_devices_adam.py", cwd=tmp_path, check=True)
    assert "EQUAL" in done.stdout
