"""Fitting a model on an endless stream, with what goes wrong told in one line."""

from __future__ import annotations

import keras
import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.training.callbacks import StopGently

# In what TensorFlow says of damaged files, and of the stream that batches come from.
_OF_DATA = ("record", "PNG", "Iterator::Root")


def fit(model: keras.Model, batches: tf.data.Dataset, steps: int, callbacks: list[keras.callbacks.Callback]) -> None:
    """`model.fit` for that many iterations; signals are given back in the end, whatever happened.

    Raises:
        UserError: the prepared data is damaged, or what a callback raises.
    """
    try:
        # One epoch of all steps: passes over the data have no meaning for a stream that a step's number finds.
        model.fit(batches, steps_per_epoch=steps, epochs=1, callbacks=callbacks, verbose=0, shuffle=False)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        if not any(word in error.message for word in _OF_DATA):
            raise
        raise UserError(
            f"The prepared data is damaged. Received: {error.message.splitlines()[0]}. "
            "Run prepare_data.py --check on it, then prepare it again: only what is damaged is written."
        ) from error
    finally:
        for callback in callbacks:
            if isinstance(callback, StopGently):
                callback.release()
