"""The optimizers of training."""

from __future__ import annotations

import keras
import tensorflow as tf

from ssagan_tf.networks.layers import register


@register
class Adam(keras.optimizers.Adam):
    """Adam (Kingma and Ba, 2015) that adds epsilon after the bias correction, as PyTorch does and as it was published.

    Keras adds it before. With beta2 = 0.9 that is, in the first step, as if epsilon were three times as large, which
    shows wherever gradients are near it: biases that a following batch norm all but takes away.
    """

    def __init__(self, learning_rate: float = 1e-3, **kwargs):
        # Keras keeps the learning rate as the default float. In float32 it is off by up to 6e-8 of itself, enough to
        # lead float64 trainings away from the published one within two iterations.
        usual = keras.config.floatx()
        keras.config.set_floatx("float64")
        try:
            super().__init__(learning_rate, **kwargs)
        finally:
            keras.config.set_floatx(usual)

    def update_step(self, gradient, variable, learning_rate):
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype)
        step = tf.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        first, second = self._momentums[index], self._velocities[index]
        self.assign(first, first * self.beta_1 + gradient * (1.0 - self.beta_1))
        self.assign(second, second * self.beta_2 + tf.square(gradient) * (1.0 - self.beta_2))
        mean = first / (1.0 - tf.pow(tf.constant(self.beta_1, step.dtype), step))
        variance = second / (1.0 - tf.pow(tf.constant(self.beta_2, step.dtype), step))
        self.assign_sub(variable, rate * mean / (tf.sqrt(variance) + self.epsilon))


def published_optimizers() -> dict[str, Adam]:
    """The published Adams: learning rates 1e-4, 4e-4 and 4e-5."""
    rates = {"generator_optimizer": 1e-4, "discriminator_optimizer": 4e-4, "encoder_optimizer": 4e-5}
    return {name: adam(rate) for name, rate in rates.items()}


def adam(learning_rate: float) -> Adam:
    """Adam with the published constants (beta1 0, beta2 0.9, epsilon 1e-8)."""
    return Adam(learning_rate, beta_1=0.0, beta_2=0.9, epsilon=1e-8)
