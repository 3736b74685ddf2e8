"""Loss scaling: float16 has no numbers below 6e-8, and gradients need them (Micikevicius et al., "Mixed precision
training", ICLR 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

_FIRST = 2.0**15
_LARGEST = 2.0**24
_PATIENCE = 2000  # steps without an overflow until a larger scale is tried


class LossScale:
    """One factor for the losses of all optimizers, as large as gradients stay finite with.

    One, and not one for each optimizer, because an iteration happens wholly or not at all (`step.finite`): where
    one network's gradient overflows, no network is changed, the scale is halved, and the next batch is tried with it.

    Attributes:
        variables: the scale, and the steps since it changed; a checkpoint needs them.
    """

    def __init__(self):
        # Not of the strategy's business: every replica computes the same.
        options = {"trainable": False, "aggregation": "only_first_replica"}
        self._scale = keras.Variable(_FIRST, dtype="float32", name="scale", **options)
        self._steps = keras.Variable(0, dtype="int64", name="steps", **options)
        self.variables = [self._scale, self._steps]

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        return loss * tf.cast(self._scale, loss.dtype)

    def unscaled(self, gradients: Sequence[tf.Tensor | None]) -> list[tf.Tensor | None]:
        return [None if each is None else tf.convert_to_tensor(each) / self._scale for each in gradients]

    def adapt(self, finite: tf.Tensor, overflowed: tf.Tensor) -> tf.Tensor:
        """After a step: halves the scale, to no less than 1, or doubles it after many steps without an overflow.

        Args:
            finite: whether the step was done.
            overflowed: whether gradients were not finite, of losses that were. Where a loss is not finite before
                anything was changed, no scale helps, and it stays.

        Returns:
            The scale of the next step.
        """
        scale, steps = tf.convert_to_tensor(self._scale), tf.convert_to_tensor(self._steps)
        steps = tf.where(finite, steps + 1, tf.where(overflowed, tf.zeros_like(steps), steps))
        grow = steps >= _PATIENCE
        scale = tf.where(overflowed, tf.maximum(scale / 2.0, 1.0), scale)
        scale = tf.where(grow, tf.minimum(scale * 2.0, _LARGEST), scale)
        self._scale.assign(scale)
        self._steps.assign(tf.where(grow, tf.zeros_like(steps), steps))
        return scale
