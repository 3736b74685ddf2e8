"""Learning-rate schedules of the DAMSM pretraining."""

from __future__ import annotations

import math

import keras

from ssagan_tf.training.callbacks import Counting

_FALL = 0.98  # of the rate, each epoch
_LOWEST = 0.1  # of the first rate
_WARM_UP = 50  # iterations
_END = 0.01  # of the rate, where the cosine ends


def published_rate(rate: float, epoch: int) -> float:
    """The learning rate of an epoch: 2 % lower each time until a tenth is reached (AttnGAN, `pretrain_DAMSM.py`)."""
    return rate * _FALL ** min(epoch, math.ceil(math.log(_LOWEST, _FALL)))


def cosine_rate(rate: float, step: int, steps: int) -> float:
    """The learning rate of an iteration: rising for 50, then falling along half a cosine wave to a hundredth."""
    falling = _END + (1 - _END) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return rate * min(1.0, (step + 1) / _WARM_UP) * falling


class PretrainingRate(keras.callbacks.Callback):
    """Sets the learning rate before each iteration, by the iteration's number alone.

    Args:
        schedule: "published": the same for an epoch, and each epoch begins with a new optimizer, as published; or
            "cosine", for a training whose length is known.
        rate: the highest.
        steps: iterations in all.
        epoch: iterations of an epoch.
        progress: knows the iteration.
    """

    def __init__(self, schedule: str, rate: float, steps: int, epoch: int, progress: Counting):
        super().__init__()
        self._schedule = schedule
        self._rate = rate
        self._steps = steps
        self._epoch = epoch
        self._progress = progress

    def on_train_batch_begin(self, batch, logs=None):
        step, optimizer = self._progress.step, self.model.optimizer
        if self._schedule == "cosine":
            optimizer.learning_rate = cosine_rate(self._rate, step, self._steps)
            return
        if step % self._epoch == 0:
            for variable in optimizer.variables:
                variable.assign(variable * 0)  # as if the optimizer were new
        optimizer.learning_rate = published_rate(self._rate, step // self._epoch)
