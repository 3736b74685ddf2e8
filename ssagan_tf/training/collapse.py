"""Warns early when a GAN shows signs of collapse."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from ssagan_tf import noise
from ssagan_tf.networks import Generator
from ssagan_tf.step.finite import was_skipped
from ssagan_tf.training.callbacks import Counting, Progress, Regular
from ssagan_tf.training.run import Run

_CAPTIONS = 4
CONSTANT = 100  # iterations


@dataclasses.dataclass(frozen=True)
class Sign:
    """A number that falls below `least` when training goes wrong, and what to try then."""

    least: float
    what: str
    advice: str


# Healthy trainings stay far from these.
SIGNS = {
    "discriminator_loss": Sign(
        0.05,
        "the discriminator tells all pairs apart and teaches the generator little",
        "train on more pictures, or anew with a lower --set=train.discriminator_rate=RATE or a higher "
        "--set=train.generator_rate=RATE",
    ),
    "mask_deviation": Sign(
        1e-3,
        "all masks are flat, so that the text acts everywhere alike",
        "train anew with open gates, --set=model.initial_gate=1, or with more --set=model.mask_filters=NUMBER",
    ),
    "diversity": Sign(
        4e-3,
        "two noises give the same picture of a caption",
        "go on from an earlier checkpoint, with a larger --batch_size, or train anew with a lower "
        "--set=model.damsm_weight=WEIGHT",
    ),
}


class CollapseWatch(Regular):
    """Measures every so many iterations and warns, once until it is well again.

    Under `watch/` in TensorBoard: "discriminator_loss", its mean since the last time; "mask_deviation", the largest
    standard deviation of a mask within a picture, in [0, 0.5]; "diversity", the mean absolute difference between two
    pictures of one caption, in [0, 2]. Warnings are there, too, and in `log.jsonl`.

    Args:
        run: the run folder.
        captions: some of these are drawn.
        progress: knows the iteration.
        every: iterations between measurements.
        average: the generator to draw with; None: the one in training.
    """

    def __init__(self, run: Run, captions: Sequence[str], progress: Progress, every: int, average: Generator | None):
        super().__init__(run, progress, every)
        self._captions = list(captions)[:_CAPTIONS]
        self._average = average
        self._losses: list[float] = []
        self._told: set[str] = set()

    def on_train_batch_end(self, batch, logs=None):
        if logs and "discriminator_loss" in logs and not was_skipped(logs):
            self._losses.append(float(logs["discriminator_loss"]))
        super().on_train_batch_end(batch, logs)

    def look(self) -> dict[str, float]:
        """Measures now, writes it down and warns; returns what was measured."""
        values = self._drawn()
        if self._losses:
            values["discriminator_loss"] = float(np.mean(self._losses))
            self._losses.clear()
        self._plot(values, "watch/")
        for name, value in values.items():
            self._judge(name, value)
        return values

    def _drawn(self) -> dict[str, float]:
        """Pictures of each caption with two noises, and their masks."""
        count = len(self._captions)
        generator = self._average or self.model.generator
        normals = noise.normals(np.repeat(np.arange(2, dtype=np.int64), count), generator.noise_dim)
        image, masks = self.model.with_masks(tf.constant(self._captions * 2), normals, generator=generator)
        image = image.numpy()
        values = {"diversity": float(np.abs(image[:count] - image[count:]).mean())}
        if generator.mask_blocks != 0:  # a generator without masks has ones in their place
            values["mask_deviation"] = float(max(mask.numpy().std(axis=(1, 2)).mean() for mask in masks))
        return values

    def _judge(self, name: str, value: float) -> None:
        sign = SIGNS[name]
        if value >= sign.least:
            self._told.discard(name)
        elif name not in self._told:
            self._told.add(name)
            message = f"{name} is {value:.2g}, below {sign.least:g}: {sign.what}. Try this: {sign.advice}."
            logging.warning("After iteration %d %s", self._progress.step, message)
            self._warn("watch/warnings", message)


class ConstantLosses(keras.callbacks.Callback):
    """Warns of a loss that is exactly the same for a hundred iterations: nothing is learned from it.

    Args:
        run: the run folder, in whose log the warning is, too.
        progress: knows the iteration.
        names: of losses -> what to try if it is so.
    """

    def __init__(self, run: Run, progress: Counting, names: Mapping[str, str]):
        super().__init__()
        self._run = run
        self._progress = progress
        self._advice = names
        self._last: dict[str, tuple[float, int]] = {}

    def on_train_batch_end(self, batch, logs=None):
        for name in self._advice.keys() & (logs or {}).keys():
            value = float(logs[name])
            before, count = self._last.get(name, (math.nan, 0))
            self._last[name] = (value, count + 1 if value == before else 1)
            if self._last[name][1] == CONSTANT:
                message = f"{name} is exactly {value:g} for {CONSTANT} iterations: nothing is learned from it."
                logging.warning("After iteration %d %s Try this: %s.", self._progress.step, message, self._advice[name])
                self._run.log({"step": self._progress.step, "warning": message})
