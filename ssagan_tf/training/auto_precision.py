"""Chooses a training's precision where it is "auto"."""

from __future__ import annotations

import time
from collections.abc import Callable

import tensorflow as tf
from absl import logging

from ssagan_tf.config import AUTO, Config
from ssagan_tf.core import hardware
from ssagan_tf.networks import Discriminator
from ssagan_tf.training.run import Run

HALF = "mixed_bfloat16"
_GAIN = 1.1  # by which it must be faster to be taken
_SECONDS, _ROUNDS = 10.0, 5  # of the trial, the most


def with_precision(config: Config, run: Run, devices: int = 1) -> Config:
    """The configuration with a precision in place of "auto": what the run began with, or else what is faster here.

    That is mixed_bfloat16 on a CPU that has instructions for it and is faster in a trial of ten seconds at most; else,
    and on several devices, whose trials might disagree, it is float32.
    """
    if config.train.precision != AUTO:
        return config
    if run.begun() and run.config().train.precision != AUTO:
        return config.override(precision=run.config().train.precision)
    gpus = tf.config.list_physical_devices("GPU")
    if gpus or devices > 1 or not hardware.has_instructions(HALF):
        return config.override(precision="float32")
    gain = _gain(_pass(config, "float32"), _pass(config, HALF))
    chosen = HALF if gain >= _GAIN else "float32"
    logging.info("Training in %s: %s took %.2f of float32's time in a trial.", chosen, HALF, 1 / gain)
    return config.override(precision=chosen)


def _pass(config: Config, precision: str) -> Callable[[], None]:
    """The discriminator's features of a batch and their gradients: convolutions there and back."""
    model = config.model
    network = Discriminator(model.base_filters, model.image_size, model.sentence_dim, dtype=precision)
    pictures = tf.zeros([config.train.batch_size, model.image_size, model.image_size, 3], network.compute_dtype)

    def run() -> None:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(network.features(pictures))
        for gradient in tape.gradient(total, [variable.value for variable in network.trainable_variables]):
            if gradient is not None:
                gradient.numpy()

    return run


def _gain(usual: Callable[[], None], other: Callable[[], None]) -> float:
    """How many times as fast the other is: by the least of up to five times each, in turn, after a warm-up."""
    seconds: dict[Callable, list[float]] = {usual: [], other: []}
    end = time.monotonic() + _SECONDS
    for number in range(1 + _ROUNDS):
        if number > 1 and time.monotonic() > end:
            break
        for call, times in seconds.items():
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return min(seconds[usual][1:]) / min(seconds[other][1:])
