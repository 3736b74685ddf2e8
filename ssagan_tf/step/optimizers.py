"""The optimizers of training."""

from __future__ import annotations

import keras
import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.networks.primitives import register


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
        index, dtype = self._get_variable_index(variable), variable.dtype
        first, second = self._momentums[index].value, self._velocities[index].value
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        left = tf.pow(beta_2, step)
        # One pass over the weights, where the formula's operations one by one take sixteen. The kernel adds its epsilon
        # before the bias correction: multiplied by that it is as if it were added after.
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=left,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=self.epsilon * tf.sqrt(1.0 - left),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )


def published_optimizers() -> dict[str, Adam]:
    """The published Adams: learning rates 1e-4, 4e-4 and 4e-5."""
    rates = {"generator_optimizer": 1e-4, "discriminator_optimizer": 4e-4, "encoder_optimizer": 4e-5}
    return {name: adam(rate) for name, rate in rates.items()}


def chosen_optimizers(**given) -> list[keras.optimizers.Optimizer]:
    """Optimizers as they are, by name or by configuration, and for None the published one, in the order given.

    Raises:
        UserError: no such optimizer, or one that two parts would share.
    """
    chosen: list[keras.optimizers.Optimizer] = []
    for name, optimizer in given.items():
        try:
            made = published_optimizers()[name] if optimizer is None else keras.optimizers.get(optimizer)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"No such optimizer. Received: {name}={optimizer!r}. Give a keras.optimizers.Optimizer, its name or "
                "its configuration."
            ) from error
        if any(made is other for other in chosen):
            raise UserError(f"Parts cannot share an optimizer. Received: one twice, as {name}. Make one for each.")
        chosen.append(made)
    return chosen


def adam(learning_rate: float) -> Adam:
    """Adam with the published constants (beta1 0, beta2 0.9, epsilon 1e-8)."""
    return Adam(learning_rate, beta_1=0.0, beta_2=0.9, epsilon=1e-8)
