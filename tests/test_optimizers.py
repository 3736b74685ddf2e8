"""Adam as PyTorch's: epsilon is added after the bias correction."""

import keras
import numpy as np
import pytest

from ssagan_tf.optimizers import Adam, adam, published_optimizers


def slow_adam(weight, gradients, rate, beta1, beta2, epsilon):
    first = second = 0.0
    for step, gradient in enumerate(gradients, start=1):
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        mean, variance = first / (1 - beta1**step), second / (1 - beta2**step)
        weight = weight - rate * mean / (np.sqrt(variance) + epsilon)
    return weight


@pytest.mark.parametrize("beta1", [0.0, 0.5])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-6)])
def test_steps_are_those_of_the_slow_formula(beta1, dtype, tolerance):
    # Gradients near epsilon tell where it is added; those of 1 do not.
    gradients = np.array([[1.0, 2e-8, -1e-8, 0.0], [0.5, 1e-8, 3e-8, 0.0], [-1.0, -5e-8, 1e-9, 0.0]])
    weight = keras.Variable(np.ones(4), dtype=dtype)
    optimizer = Adam(1e-2, beta_1=beta1, beta_2=0.9, epsilon=1e-8)
    optimizer.build([weight])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, dtype)], [weight])
    expected = slow_adam(np.ones(4), gradients, 1e-2, beta1, 0.9, 1e-8)
    np.testing.assert_allclose(weight.numpy(), expected, rtol=tolerance)
    assert optimizer.iterations.numpy() == 3


def test_the_published_constants():
    optimizers = published_optimizers()
    rates = {name: float(optimizer.learning_rate.numpy()) for name, optimizer in optimizers.items()}
    assert rates == pytest.approx(
        {"generator_optimizer": 1e-4, "discriminator_optimizer": 4e-4, "encoder_optimizer": 4e-5}
    )
    for optimizer in optimizers.values():
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.0, 0.9, 1e-8)


def test_an_optimizer_is_made_again_from_its_configuration():
    made = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(adam(3e-4)))
    assert type(made) is Adam and float(made.learning_rate.numpy()) == pytest.approx(3e-4)
    assert (made.beta_1, made.beta_2, made.epsilon) == (0.0, 0.9, 1e-8)


def test_the_default_float_is_left_as_it_was():
    adam(1e-4)
    assert keras.config.floatx() == "float32"
