"""Fitting a model on an endless stream, with what goes wrong told in one line."""

from __future__ import annotations

import keras
import tensorflow as tf

from ssagan_tf.data.pipeline import damage_told
from ssagan_tf.training.callbacks import StopGently


def fit(model: keras.Model, batches: tf.data.Dataset, steps: int, callbacks: list[keras.callbacks.Callback]) -> None:
    """`model.fit` for that many iterations; signals are given back in the end, whatever happened.

    Raises:
        UserError: the prepared data is damaged, or what a callback raises.
    """
    try:
        with damage_told():
            # One epoch of all steps: passes over the data have no meaning for a stream that a step's number finds.
            model.fit(batches, steps_per_epoch=steps, epochs=1, callbacks=callbacks, verbose=0, shuffle=False)
    finally:
        for callback in callbacks:
            if isinstance(callback, StopGently):
                callback.release()
