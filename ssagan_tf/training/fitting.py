"""Fits a model on an endless stream; errors are reported in one line."""

from __future__ import annotations

import time

import keras
import tensorflow as tf
from absl import logging

from ssagan_tf.data.pipeline import reraise_data_errors
from ssagan_tf.training.callbacks import StopGently
from ssagan_tf.training.devices import several_machines, shared_out
from ssagan_tf.training.run import Run


class GraphWait(keras.callbacks.Callback):
    """Says that the graph of a step is being built, for nothing else moves meanwhile, and how long it takes.

    Args:
        run: the run folder, in whose log the time is.
    """

    def __init__(self, run: Run):
        super().__init__()
        self._run = run
        self._began: float | None = None

    def on_train_begin(self, logs=None):
        name = f"{type(self.model).__name__}_graph_seconds"
        before = self._run.last_logged(name)
        usual = "it may take a minute or two" if before is None else f"last time it took {before:.0f} s"
        logging.info("Building the graph of a training step (%s): %s.", type(self.model).__name__, usual)
        self._began = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if self._began is not None:
            seconds = round(time.monotonic() - self._began, 1)
            self._run.log({"step": 0, f"{type(self.model).__name__}_graph_seconds": seconds})
            self._began = None


def fit(model: keras.Model, batches: tf.data.Dataset, steps: int, callbacks: list[keras.callbacks.Callback]) -> None:
    """`model.fit` for that many iterations; signals are given back in the end, whatever happened.

    Raises:
        UserError: the prepared data is damaged, or what a callback raises.
    """
    try:
        with reraise_data_errors():
            if several_machines():
                _fit_on_several_machines(model, batches, steps, callbacks)
                return
            # One epoch of all steps: passes over the data have no meaning for a stream that a step's number finds.
            model.fit(batches, steps_per_epoch=steps, epochs=1, callbacks=callbacks, verbose=0, shuffle=False)
    finally:
        for callback in callbacks:
            if isinstance(callback, StopGently):
                callback.release()


def _fit_on_several_machines(model, batches, steps, callbacks) -> None:
    """What Keras's `fit` does on one. On several it fails: it takes means of losses over an axis that they lack."""
    strategy = model.distribute_strategy
    step = tf.function(lambda batch: strategy.run(model.train_step, (batch,)))
    told = keras.callbacks.CallbackList(callbacks, model=model, add_history=False)
    model.stop_training = False
    told.on_train_begin()
    for number, batch in zip(range(steps), shared_out(strategy, batches), strict=False):
        told.on_train_batch_begin(number)
        # Every replica knows the losses of the global batch.
        logs = {name: strategy.experimental_local_results(value)[0] for name, value in step(batch).items()}
        told.on_train_batch_end(number, {name: value.numpy() for name, value in logs.items()})
        if model.stop_training:
            break
    told.on_train_end()
