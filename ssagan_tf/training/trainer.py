"""What `train.py` calls: opens the data, builds or resumes the model, and fits it with everything around."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
import time

import keras
import tensorflow as tf
from absl import logging

from ssagan_tf.config import Config, preset
from ssagan_tf.core import hardware
from ssagan_tf.data import DATASETS, open_source
from ssagan_tf.data.pipeline import first_captions, training_batches
from ssagan_tf.data.records import FINISHED, Prepared, is_prepared, open_prepared, prepare
from ssagan_tf.data.source import DRAWN, Source
from ssagan_tf.data.synthbirds import FIXED_CAPTIONS
from ssagan_tf.errors import UserError, did_you_mean
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.step.augmentation import Augmentation
from ssagan_tf.step.optimizers import adam
from ssagan_tf.text import word_vectors
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training import checkpoint
from ssagan_tf.training.callbacks import AverageGenerator, Checkpoints, Progress, SampleSheets, StopGently
from ssagan_tf.training.collapse import CollapseWatch
from ssagan_tf.training.fine_tuning import carry_over, fine_tuned, freeze
from ssagan_tf.training.fitting import fit
from ssagan_tf.training.metric_callback import Scoring, check_scorable
from ssagan_tf.training.origin import changes, check_origin, check_same_run, origin
from ssagan_tf.training.overfitting_watch import OverfittingWatch
from ssagan_tf.training.pretraining import provide_encoders, vocabulary_for
from ssagan_tf.training.run import Ended, Run, load_model
from ssagan_tf.training.skipped import SkippedSteps
from ssagan_tf.training.workers import DATA, devices, own_run
from ssagan_tf.weights import tensor_files
from ssagan_tf.weights.model_folder import WEIGHTS_FILE

_SHEET_ROWS, _SHEET_CANDIDATES = 8, 100


@dataclasses.dataclass(frozen=True)
class Outcome(Ended):
    """How a training of the GAN ended.

    Attributes:
        overfitting: whether it was stopped because the discriminator overfits.
    """

    overfitting: bool = False

    def why(self, config: Config) -> str:
        return super().why(config) or ", stopped because the discriminator overfits" * self.overfitting


def summary(outcome: Outcome, config: Config) -> str:
    """What was written and what to run next, in words."""
    run, dataset, step = outcome.run, config.data.dataset, outcome.step
    folder = shlex.quote(str(run.folder))
    why = outcome.why(config)
    if not run.checkpoints.is_dir():
        return f"""
Ended during the pretraining{why}; what it learned is in {run.pretraining}. Go on:
  python scripts/train.py --dataset={dataset} --out={folder} --resume"""
    more = max(config.train.steps, 2 * step)
    return f"""
{step:,} of {config.train.steps:,} iterations done{why}. Written:
  {run.samples}/samples-{step:08d}.png   pictures of fixed captions
  {run.samples}/masks-{step:08d}.png   where the text acts
  {run.checkpoints}   to go on from
Next:
  python scripts/sample.py --model={folder} --caption="..." --out=sheet.png
  python scripts/train.py --dataset={dataset} --out={folder} --resume --steps={more}
  tensorboard --logdir={folder}"""


def resolve(out: str | os.PathLike | None, resume: bool, preset_name: str | None = None, **given) -> tuple[Run, Config]:
    """As `resolve_run`, for a training of the GAN: a short trial has a short pretraining."""
    run, config = resolve_run(out, resume, preset_name, **given)
    if not run.begun() and "pretraining_steps" not in given:
        config = config.override(pretraining_steps=min(config.train.pretraining_steps, config.train.steps))
    return run, config


def resolve_run(
    out: str | os.PathLike | None,
    resume: bool,
    preset_name: str | None = None,
    pretraining: bool = False,
    **given,
) -> tuple[Run, Config]:
    """The run folder and its configuration: a preset's, or that of the run to resume, and over it what is given.

    Args:
        out: run folder; None: `runs/DATASET-TIME`.
        resume: go on with what is in `out`.
        preset_name: None: "paper" where there is a GPU, else "small". A resumed run keeps its own settings.
        pretraining: the run pretrains encoders and does no more.
        given: settings by name; a new run needs `dataset`.

    Raises:
        UserError: a folder that is in use and not to be resumed, or settings that make it another run.
    """
    if resume:
        return _resumed(out, preset_name, given)
    if "dataset" not in given:
        raise UserError(f"A data set is missing. Received: none. Give --dataset={'|'.join(DATASETS)}.")
    dataset, prefix = given["dataset"], "damsm-" * pretraining
    run = Run(out or f"runs/{prefix}{dataset}-{time.strftime('%Y%m%d-%H%M%S')}")
    folder = run.folder
    if folder.exists() and (not folder.is_dir() or {entry.name for entry in folder.iterdir()} - {DATA}):
        raise UserError(
            f"The run folder is not empty. Received: {folder}. Choose another --out, or go on with --resume."
        )
    name = preset_name or _default_preset()
    if given.get("initial_model"):
        return run, fine_tuned(preset(name, dataset), name, given)
    config = preset(name, dataset, pretraining).override(**given)
    if config.train.word_vectors:
        config = config.override(embedding_dim=word_vectors.dimension(config.train.word_vectors))
    return run, config


def _resumed(out: str | os.PathLike | None, preset_name: str | None, given: dict) -> tuple[Run, Config]:
    if out is None:
        raise UserError("Nothing to resume. Received: --resume without --out. Name the run folder with --out.")
    run = Run(out)
    if not run.begun():
        near = did_you_mean(str(run.folder), _runs_beside(run.folder))
        raise UserError(f"No run to resume. Received: {run.folder}. {near}Leave --resume out to begin a new one.")
    if preset_name:
        raise UserError(f"A resumed run keeps its settings. Received: --preset={preset_name}. Leave it out.")
    was = run.config()
    was.refuse_programs(run.folder, trust=given.get("text_encoder") == was.model.text_encoder)
    # A limit of time is that of one call, not of the run.
    config = was.override(**{"max_minutes": 0.0, **given})
    check_same_run(was, config, run)
    for name, (before, now) in changes(was, config).items():
        if name in given:
            logging.info("Going on with %s=%r, was %r.", name, now, before)
    return run, config


def _runs_beside(folder: pathlib.Path) -> list[str]:
    """The runs in the same place."""
    beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
    return sorted(str(each) for each in beside if Run(each).begun())


def _default_preset() -> str:
    if tf.config.list_physical_devices("GPU"):
        return "paper"
    logging.warning("No GPU found: taking the small preset. For the paper's settings use --preset=paper.")
    return "small"


def train(run: Run, config: Config) -> Outcome:
    """Trains, or goes on training, to `config.train.steps` iterations.

    Raises:
        UserError: anything wrong with data, folder or a diverged training; what was saved stays.
    """
    strategy = devices()
    run = own_run(run)
    data = open_data(config, run)
    if config.train.score_every:
        check_scorable(data, config.train.score_extractor)
    hardware.warn_if_slow(config.train.precision)
    keras.utils.set_random_seed(config.train.seed % 2**32)
    vocabulary = run.vocabulary() if run.begun() else vocabulary_for(data, config)
    if config.train.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"The batch does not come out even. Received: batch_size={config.train.batch_size} for "
            f"{strategy.num_replicas_in_sync} devices. Use a multiple of them."
        )
    with strategy.scope():
        augmentation = None
        if config.train.augment != "none":
            augmentation = Augmentation(config.train.augment == "adaptive", config.train.augment_pictures)
        model = SSAGAN.from_model_config(
            config.model,
            vocabulary,
            precision=config.train.precision,
            fused=config.train.fused,
            gradient_checkpointing=config.train.gradient_checkpointing,
            augmentation=augmentation,
            seed=config.train.seed,
        )
        freeze(model, config.train.frozen_blocks, config.model.grown_from)
        rates = (config.train.generator_rate, config.train.discriminator_rate, config.train.encoder_rate)
        model.compile(*map(adam, rates))
        averaging = None
        if config.train.ema_pictures:
            averaging = AverageGenerator(model, config.train.ema_pictures, config.train.batch_size)
    average = averaging and averaging.average
    variables = checkpoint.variables(model, average)
    about = origin(config, vocabulary, data, strategy.num_replicas_in_sync)
    first_step, first_picture = _restore(run, model, average, variables, about)
    if first_step is not None and first_step >= config.train.steps:
        raise UserError(
            f"Nothing is left to do. Received: --steps={config.train.steps:,}, and {first_step:,} are done. Give more."
        )
    logging.info("Training on %s at %d pixels into %s.", data.name, config.model.image_size, run.folder)
    run.begin(config, vocabulary)
    stop = StopGently(config.train.max_minutes)
    if first_step is None:
        first_step = 0
        if config.train.initial_model:
            # A SavedModel was trusted when it was named, see `fine_tuned`.
            source = load_model(config.train.initial_model, sampling_only=False, trust=True)
            logging.info("%s", carry_over(model, source, config.train.seed).text())
            if average is not None:
                average.set_weights(model.generator.get_weights())
        provide_encoders(run, model, data, config, stop)
        if stop.stopped:
            return Outcome(run, 0, stop.signal, stop.time_is_up)
    if first_step:
        logging.info("Going on after iteration %d.", first_step)
    run.forget_log_after(first_step)

    def stream(first_picture: int, keys: bool = False) -> tf.data.Dataset:
        return training_batches(data, model.caption_encoder, config, first_picture=first_picture, keys=keys)

    def batch_of(step: int) -> dict:
        return next(stream(progress.pictures_before(step), keys=True).as_numpy_iterator())

    captions = sheet_captions(data, vocabulary)
    skipped = SkippedSteps(run, variables, batch_of)
    progress = Progress(run, first_step, config.train.steps, config.train.batch_size, first_picture, skipped)
    callbacks = [
        *([averaging] if averaging else []),
        progress,
        stop,
        # Before the sheets: when the program is about to be killed, this comes first.
        Checkpoints(
            run.checkpoints,
            variables,
            progress,
            config.train.checkpoint_every,
            config.train.keep,
            lambda: {**about, "pictures": progress.pictures},
        ),
        SampleSheets(run, captions, progress, config.train.sample_every, average),
        CollapseWatch(run, captions, progress, config.train.sample_every, average),
    ]
    overfitting = None
    if config.train.score_every:
        callbacks.append(Scoring(run, model, data, progress, config.train, average))
        if data.name not in DRAWN:  # whose pictures never come twice
            overfitting = OverfittingWatch(run, model, data, progress, config.train, average)
            callbacks.append(overfitting)
    fit(model, stream(first_picture), config.train.steps - first_step, callbacks)
    return Outcome(run, progress.step, stop.signal, stop.time_is_up, overfitting is not None and overfitting.stopped)


def open_data(config: Config, run: Run) -> Prepared | Source:
    """The prepared folder, or a raw one prepared into the run's own `data` folder, or a source that draws.

    Raises:
        UserError: no such data, or prepared for something else.
    """
    dataset, folder, size = config.data.dataset, config.data.data_dir, config.model.image_size
    into = run.folder / DATA
    if run.begun() and (into / FINISHED).is_file():
        return open_prepared(into)
    if folder is None or not is_prepared(folder):
        source = open_source(dataset, folder, size)
        if dataset in DRAWN:
            if folder is not None:
                raise UserError(
                    f"There is no prepared data. Received: {folder}. "
                    f"Leave --data_dir out to have {dataset} drawn, or prepare it with prepare_data.py."
                )
            return source
        logging.info("Preparing %s into %s; prepare_data.py does this once for several runs.", folder, into)
        return prepare(source, into, size, progress=True)[0]
    prepared = open_prepared(folder)
    if (prepared.name, prepared.image_size) != (dataset, size):
        raise UserError(
            f"The folder was prepared for something else. Received: {folder}: {prepared.name} at "
            f"{prepared.image_size} pixels. Wanted: {dataset} at {size}. Run prepare_data.py for it."
        )
    return prepared


def sheet_captions(data: Prepared | Source, vocabulary: Vocabulary) -> list[str]:
    """Of the sheets that are drawn as training goes on: always the same, and of known words if there are such."""
    if data.name in DRAWN:
        return list(FIXED_CAPTIONS)
    captions = first_captions(data, _SHEET_CANDIDATES)
    return sorted(captions, key=lambda caption: bool(vocabulary.unknown(caption)))[:_SHEET_ROWS]


def _restore(
    run: Run,
    model: SSAGAN,
    average: keras.Model | None,
    variables: dict[str, keras.Variable],
    about: dict,
) -> tuple[int | None, int]:
    """Reads the newest checkpoint, or the weights of a model folder.

    Returns:
        The iteration, None if there is nothing yet, and the pictures seen until then.
    """
    found = checkpoint.newest(run.checkpoints)
    if found is None and not (run.folder / WEIGHTS_FILE).is_file():
        return None, 0
    if found is None:
        model.take_weights(run.folder)
        if average is not None:
            average.set_weights(model.generator.get_weights())
        return 0, 0
    check_origin(found, about, run)
    tensor_files.assign_state(variables, found.state, str(found.folder))
    return found.step, int(found.note.get("pictures", found.step * about["config"]["train"]["batch_size"]))
