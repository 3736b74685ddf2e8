"""`fit`, `evaluate` and `train_on_batch` of a model whose batches are dictionaries and whose losses are its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from ssagan_tf.errors import UserError
from ssagan_tf.step.batches import BatchForm, told, warn_of_bright

_SCHEDULERS = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
_OWN = ("loss", "loss_weights", "metrics", "weighted_metrics")


class BatchModel(keras.Model):
    """A `keras.Model` that trains on dictionaries; its data are checked before training, as far as they can be."""

    _evaluated: _Means | None = None

    @property
    def batch_form(self) -> BatchForm:
        """What a batch must be."""
        raise NotImplementedError

    def compile(self, **kwargs) -> None:
        """As Keras's, but for losses and metrics, which the model has of its own.

        Raises:
            UserError: a loss or metric is given.
        """
        given = {name: kwargs[name] for name in _OWN if kwargs.get(name) is not None}
        if given:
            told_of = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise UserError(f"The model computes its own losses. Received: {told_of}. Leave that out.")
        super().compile(**{**kwargs, "auto_scale_loss": False})

    def fit(self, x=None, y=None, *args, validation_data=None, callbacks=None, **kwargs):
        """As Keras's; `x` and `validation_data` give the batches that `train_step` describes.

        A callback that sets the learning rate of Keras's one optimizer changes those of all by the same factor.

        Raises:
            UserError: data of another form.
        """
        _refuse_weights(kwargs)
        if validation_data is not None:
            validation_data = self._checked(validation_data)
        callbacks = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else callbacks
        if isinstance(callbacks, Sequence) and any(isinstance(callback, _SCHEDULERS) for callback in callbacks):
            callbacks = [*callbacks, RatesTogether()]
        with told():
            x = self._checked(x, y, warn_of_bright)
            return super().fit(x, None, *args, validation_data=validation_data, callbacks=callbacks, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As Keras's: the mean losses of `test_step`, weighted by the batches' sizes. Raises as `fit`."""
        _refuse_weights(kwargs)
        with told():
            return super().evaluate(self._checked(x, y), None, *args, **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        """As Keras's, for one batch. Raises as `fit`."""
        _refuse_weights(kwargs)
        with told():
            return super().train_on_batch(self._checked(x, y), None, *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        """As Keras's, for one batch. Raises as `fit`."""
        with told():
            return super().test_on_batch(self._checked(x, y), None, *args, **kwargs)

    def _checked(self, data, targets=None, look: Callable = lambda batch, index: batch):
        """The data, of which so much was checked as shows before it is read; `look` passes each batch on."""
        form = self.batch_form
        if targets is not None:
            form.check((data, targets))
        if isinstance(data, tf.data.Dataset):
            spec = form.check(data.element_spec)
            if self.jit_compile and spec["caption"].dtype == tf.string and not form.reads_text:
                data = data.map(form.with_ids)  # XLA knows no text
            if isinstance(data.element_spec, Mapping):
                data = data.enumerate().map(lambda index, batch: look(batch, index))
        elif isinstance(data, keras.utils.PyDataset):
            first = data[0]
            if isinstance(look(form.check(first), 0)["caption"], tf.Tensor) and not isinstance(
                first["caption"], tf.Tensor
            ):
                raise UserError("Keras has no text of NumPy. Received: text. Give tf.constant(captions) in each batch.")
        elif isinstance(data, Iterator):
            # Keras takes generators of tuples alone.
            return ((look(form.check(batch), index),) for index, batch in enumerate(data))
        elif data is None or isinstance(data, Mapping | np.ndarray | tf.Tensor | list | tuple | str):
            return look(form.check(data), 0)
        return data

    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All of them, Keras's own first."""
        return [self.optimizer]

    # === The mean of what `test_step` tells ===

    def _average_losses(self, names: Iterable[str], dtype: str) -> None:
        """Makes place for the means of an evaluation; to be called when compiling."""
        self._evaluated = _Means({name: keras.metrics.Mean(name, dtype) for name in names})

    def _mean_so_far(self, logs: dict[str, tf.Tensor], count: tf.Tensor) -> dict[str, tf.Tensor]:
        """The losses of a batch of `count` -> the means of all batches since the evaluation began."""
        if self._evaluated is None:
            return logs
        for name, value in logs.items():
            self._evaluated.of[name].update_state(value, sample_weight=tf.cast(count, value.dtype))
        return {name: self._evaluated.of[name].result() for name in logs}

    def reset_metrics(self):
        super().reset_metrics()
        for mean in self._evaluated.of.values() if self._evaluated else ():
            mean.reset_state()


def _refuse_weights(options: Mapping) -> None:
    """Raises UserError for weights of samples, which the losses have none of."""
    for name in ("sample_weight", "class_weight"):
        if options.get(name) is not None:
            raise UserError(f"The losses weigh all pictures alike. Received: {name}. Leave it out.")


class _Means:
    """Keeps metrics from Keras, which would count them among the model's variables."""

    def __init__(self, of: dict[str, keras.metrics.Mean]):
        self.of = of


class RatesTogether(keras.callbacks.Callback):
    """Where Keras's callbacks move the rate of `model.optimizer`, moves those of the model's other optimizers alike."""

    def on_train_begin(self, logs=None):
        self._first, *self._others = self.model.optimizers()
        self._rate = float(self._first.learning_rate)
        if self._others:
            logging.info("The learning rates of all optimizers move together, by the same factor.")

    def on_epoch_begin(self, epoch, logs=None):
        self._follow()

    def on_epoch_end(self, epoch, logs=None):
        self._follow()

    def _follow(self) -> None:
        rate = float(self._first.learning_rate)
        if rate == self._rate:
            return
        if not self._rate:
            raise UserError(
                "Learning rates cannot move together from 0. Received: a scheduler that set 0 before. Use small rates."
            )
        for optimizer in self._others:
            optimizer.learning_rate = float(optimizer.learning_rate) * rate / self._rate
        self._rate = rate
