"""Trainings of the GAN: opens the data, builds the model, restores or begins, and fits with everything around it."""

from __future__ import annotations

import dataclasses
import shlex

import keras
import tensorflow as tf
from absl import logging

from ssagan_tf.config import Config
from ssagan_tf.core import hardware
from ssagan_tf.core.calling import command_of as call
from ssagan_tf.data.pipeline import split_size, training_batches
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import DRAWN, Source
from ssagan_tf.errors import UserError
from ssagan_tf.networks import Generator
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.step.optimizers import adam
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training import checkpoint
from ssagan_tf.training.auto_precision import with_precision
from ssagan_tf.training.callbacks import (
    AverageGenerator,
    Checkpoints,
    Progress,
    SampleSheets,
    StopGently,
)
from ssagan_tf.training.collapse import CollapseWatch, ConstantLosses
from ssagan_tf.training.data import open_training_data, sheet_captions
from ssagan_tf.training.devices import devices, own_run
from ssagan_tf.training.fine_tuning import carry_over, freeze
from ssagan_tf.training.fitting import GraphWait, fit
from ssagan_tf.training.overfitting_watch import OverfittingWatch
from ssagan_tf.training.pretraining.encoders import provide_encoders, vocabulary_for
from ssagan_tf.training.resume import origin, restore
from ssagan_tf.training.run import Ended, Run, load_model
from ssagan_tf.training.scoring import Scoring, check_scorable
from ssagan_tf.training.skipped import SkippedSteps


@dataclasses.dataclass(frozen=True)
class Outcome(Ended):
    """How a training of the GAN ended.

    Attributes:
        overfitting: whether it was stopped because the discriminator overfits.
    """

    overfitting: bool = False

    def why(self, config: Config) -> str:
        return super().why(config) or ", stopped because the discriminator overfits" * self.overfitting


def train(run: Run, config: Config) -> Outcome:
    """Trains, or goes on training, to `config.train.steps` iterations; does nothing if they are done.

    Raises:
        UserError: anything wrong with data, folder or a diverged training; what was saved stays.
    """
    strategy = devices()
    run = own_run(run)
    with run.opened():
        found = checkpoint.newest(run.checkpoints)
        if found is not None and found.step >= config.train.steps:
            logging.info("Nothing is left to do. More --steps go on.")
            return Outcome(run, found.step, None, False)
        config = with_precision(config, run, strategy.num_replicas_in_sync)
        data = open_training_data(config, run)
        _check(config, data, strategy)
        vocabulary = run.vocabulary() if run.begun() else vocabulary_for(data, config)
        model, averaging = _build(config, vocabulary, strategy)
        training = _Training(run, config, data, model, averaging)
        about = origin(config, vocabulary, data, strategy.num_replicas_in_sync)
        first = restore(run, model, training.average, training.variables, found, about)
        logging.info("Training on %s at %d pixels into %s.", data.name, config.model.image_size, run.folder)
        run.begin(config, vocabulary)
        stop = StopGently(config.train.max_minutes)
        if first is None:
            _begin(training, stop)
            if stop.stopped:
                return Outcome(run, 0, stop.signal, stop.time_is_up)
        return _fit(training, *(first or (0, 0)), about, stop)


@dataclasses.dataclass(frozen=True)
class _Training:
    """What a training works with."""

    run: Run
    config: Config
    data: Prepared | Source
    model: SSAGAN
    averaging: AverageGenerator | None

    @property
    def average(self) -> Generator | None:
        return self.averaging and self.averaging.average

    @property
    def variables(self) -> dict[str, keras.Variable]:
        return checkpoint.variables(self.model, self.average)

    def batches(self, first_picture: int, keys: bool = False) -> tf.data.Dataset:
        encoder = self.model.caption_encoder
        return training_batches(self.data, encoder, self.config, first_picture=first_picture, keys=keys)


def _check(config: Config, data: Prepared | Source, strategy: tf.distribute.Strategy) -> None:
    """Refuses, before anything slow begins, what would fail after it."""
    if config.train.score_every:
        check_scorable(data, config.train.score_extractor)
    if config.train.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"The batch does not come out even. Received: batch_size={config.train.batch_size} for "
            f"{strategy.num_replicas_in_sync} devices. Use a multiple of them."
        )
    if config.train.jit and strategy.num_replicas_in_sync > 1:
        raise UserError(
            f"XLA compiles the step of one device. Received: jit for {strategy.num_replicas_in_sync} devices. "
            "Leave --jit out."
        )
    count = split_size(data, "train")
    sizes = {name: getattr(config.train, name) for name in ("batch_size", "pretraining_batch_size")}
    if large := [f"{name}={size}" for name, size in sizes.items() if size > count]:
        logging.warning(
            "Batches are larger than the data set, so pictures are negatives of themselves: %s, of %d pictures. "
            "Give --set=train.NAME=SMALLER.",
            " and ".join(large),
            count,
        )
    hardware.warn_if_slow(config.train.precision)


def _build(
    config: Config, vocabulary: Vocabulary, strategy: tf.distribute.Strategy
) -> tuple[SSAGAN, AverageGenerator | None]:
    """The model, compiled, and what averages its generator."""
    train = config.train
    keras.utils.set_random_seed(train.seed % 2**32)
    with strategy.scope():
        model = SSAGAN.from_settings(config, vocabulary, precision=train.precision)
        freeze(model, train.frozen_blocks, config.model.grown_from)
        rates = train.generator_rate, train.discriminator_rate, train.encoder_rate
        model.compile(*map(adam, rates), jit_compile=train.jit)
        averaging = AverageGenerator(model, train.ema_pictures, train.batch_size) if train.ema_pictures else None
    return model, averaging


def _begin(training: _Training, stop: StopGently) -> None:
    """What comes before the first iteration: weights of an initial model, and the encoders."""
    run, config, model = training.run, training.config, training.model
    if config.train.initial_model:
        # A SavedModel was trusted when it was named, see `fine_tuned`.
        source = load_model(config.train.initial_model, sampling_only=False, trust=True)
        logging.info("%s", carry_over(model, source, config.train.seed).text())
        if training.average is not None:
            training.average.set_weights(model.generator.get_weights())
    provide_encoders(run, model, training.data, config, stop)


def _fit(training: _Training, first_step: int, first_picture: int, about: dict, stop: StopGently) -> Outcome:
    """Fits from an iteration on, with its callbacks."""
    run, train = training.run, training.config.train
    if first_step:
        logging.info("Going on after iteration %d.", first_step)
    run.forget_log_after(first_step)

    def batch_of(step: int) -> dict:
        return next(training.batches(progress.pictures_before(step), keys=True).as_numpy_iterator())

    skipped = SkippedSteps(run, training.variables, batch_of)
    progress = Progress(run, first_step, train.steps, train.batch_size, first_picture, skipped)
    overfitting = None
    callbacks = [GraphWait(run), progress, stop, *_writers(training, progress, about)]
    if training.averaging is not None:
        callbacks.insert(0, training.averaging)
    if train.score_every:
        watched = (run, training.model, training.data, progress, train, training.average)
        callbacks.append(Scoring(*watched))
        if training.data.name not in DRAWN:  # whose pictures never come twice
            overfitting = OverfittingWatch(*watched)
            callbacks.append(overfitting)
    fit(training.model, training.batches(first_picture), train.steps - first_step, callbacks)
    stopped = overfitting is not None and overfitting.stopped
    return Outcome(run, progress.step, stop.signal, stop.time_is_up, stopped)


def _writers(training: _Training, progress: Progress, about: dict) -> list[keras.callbacks.Callback]:
    """Checkpoints first: when the program is about to be killed, they matter most."""
    run, train, average = training.run, training.config.train, training.average
    captions = sheet_captions(training.data, training.model.require_vocabulary())
    every, keep = train.checkpoint_every, train.keep
    return [
        Checkpoints(
            run.checkpoints,
            training.variables,
            progress,
            every,
            keep,
            lambda: {**about, "pictures": progress.pictures},
        ),
        SampleSheets(run, captions, progress, train.sample_every, average),
        CollapseWatch(run, captions, progress, train.sample_every, average),
        ConstantLosses(run, progress, _losses(training.model)),
    ]


def _losses(model: SSAGAN) -> dict[str, str]:
    """The losses that move in a training of this model -> what to try where one does not."""
    adversarial = "train anew with a lower --set=train.discriminator_rate=RATE"
    found = {"discriminator_loss": adversarial, "generator_loss": adversarial}
    if model.image_encoder is not None:
        labels = "look for labels or captions that are the same for all pictures, prepare_data.py --check"
        found["damsm_fake"] = labels
        if model.text_training != "frozen":
            found["damsm_real"] = labels
    return found


def summary(outcome: Outcome, config: Config) -> str:
    """What was written and what to run next, in words."""
    run, step, steps = outcome.run, outcome.step, config.train.steps
    folder = shlex.quote(str(run.folder))
    why = outcome.why(config)
    if not run.checkpoints.is_dir():
        return f"""
Ended during the pretraining{why}; what it learned is in {run.pretraining}. Go on:
  {call("train")} --out={folder} --resume"""
    return f"""
{step:,} of {steps:,} iterations done{why}. Written:
  {run.samples}/samples-{step:08d}.png   pictures of fixed captions
  {run.samples}/masks-{step:08d}.png   where the text acts
  {run.checkpoints}   to go on from
Next:
  {call("sample")} --model={folder} --caption="..." --out=sheet.png
  {call("train")} --out={folder} --resume --steps={max(steps, 2 * step)}
  tensorboard --logdir={folder}"""
