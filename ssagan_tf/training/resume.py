"""Starts a new run or resumes one, and checks that a checkpoint fits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import time
import typing
from collections.abc import Mapping

import keras
import tensorflow as tf
from absl import logging

from ssagan_tf.config import AUTO, Config, preset
from ssagan_tf.core.files import LOCK
from ssagan_tf.data import DATASETS
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.errors import UserError, did_you_mean
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.text import word_vectors
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training.checkpoint import Checkpoint
from ssagan_tf.training.fine_tuning import fine_tuned
from ssagan_tf.training.run import DATA, Run
from ssagan_tf.weights import tensor_files
from ssagan_tf.weights.model_folder import WEIGHTS_FILE, take_weights

# What may change when a run is resumed; all else makes it another run.
_FREE = {
    "data_dir",
    "damsm",
    "initial_model",
    "word_vectors",
    "steps",
    "batch_size",
    "gradient_checkpointing",
    "jit",
    "checkpoint_every",
    "sample_every",
    "score_every",
    "score_count",
    "score_extractor",
    "stop_overfitting",
    "keep",
    "max_minutes",
}
_CONTENT = {"vocabulary": "other words", "data": "other pictures or captions"}


def origin(config: Config, vocabulary: Vocabulary, data: Prepared | Source, devices: int) -> dict[str, typing.Any]:
    """What is noted of the run in each of its checkpoints: settings, checksums of words and data, devices."""
    words = hashlib.sha256("\n".join(vocabulary.words).encode()).hexdigest()
    prepared = data.fingerprint if isinstance(data, Prepared) else None  # drawn pictures follow from the settings
    return {"config": dataclasses.asdict(config), "vocabulary": words, "data": prepared, "devices": devices}


def check_same_run(was: Config, config: Config, run: Run) -> None:
    """Raises UserError, naming what differs, unless a run begun as `was` may go on as `config`."""
    different = [
        f"{name}={now!r}, was {before!r}" for name, (before, now) in changes(was, config).items() if name not in _FREE
    ]
    if different:
        raise UserError(
            f"The run was begun with other settings. Received: {run.folder}: {'; '.join(different)}. "
            "Leave those flags out, or choose another --out."
        )


def check_origin(found: Checkpoint, now: dict[str, typing.Any], run: Run) -> None:
    """Whether the run may go on from the checkpoint; another number of devices is logged.

    Args:
        found: what is to be gone on from.
        now: `origin` of the training that is about to begin.
        run: its folder.

    Raises:
        UserError: the checkpoint lacks something, or it is of other settings, words or data.
    """
    note = found.note
    if "config" not in note:
        return  # of before checkpoints said so
    missing = [name for name in (*now, "pictures") if name not in note]
    if missing:
        raise UserError(
            f"The checkpoint is not complete. Received: {found.folder} without {', '.join(missing)}. Remove it to "
            "go on from the one before."
        )
    was = Config.from_json(json.dumps(note["config"]), str(found.folder))
    config = Config.from_json(json.dumps(now["config"]))
    check_same_run(was, config, run)
    for name, what in _CONTENT.items():
        if note[name] != now[name]:
            raise UserError(
                f"The run was begun with {what}. Received: {found.folder}, whose {name} is not what is here. "
                "Give it what it was begun with, or choose another --out."
            )
    if note["devices"] != now["devices"]:
        logging.info("Going on with %d devices, was %d.", now["devices"], note["devices"])


def changes(was: Config, config: Config) -> dict[str, tuple]:
    """Settings that differ, by name: (before, now)."""
    before, now = was.flat(), config.flat()
    return {name: (before[name], now[name]) for name in now if before[name] != now[name]}


def restore(
    run: Run,
    model: SSAGAN,
    average: keras.Model | None,
    variables: Mapping[str, keras.Variable],
    found: Checkpoint | None,
    about: dict[str, typing.Any],
) -> tuple[int, int] | None:
    """Reads a run's newest checkpoint, or the weights of a model folder.

    Returns:
        The iterations done and the pictures seen until then; None if there is nothing yet.

    Raises:
        UserError: the checkpoint is another run's.
    """
    if found is not None:
        check_origin(found, about, run)
        tensor_files.assign_state(variables, found.state, str(found.folder))
        return found.step, int(found.note.get("pictures", found.step * about["config"]["train"]["batch_size"]))
    if not (run.folder / WEIGHTS_FILE).is_file():
        return None
    take_weights(model, run.folder)
    if average is not None:
        average.set_weights(model.generator.get_weights())
    return 0, 0


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
    if folder.exists() and (not folder.is_dir() or {entry.name for entry in folder.iterdir()} - {DATA, LOCK}):
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
    if given.get("precision") == AUTO:
        given = {**given, "precision": was.train.precision}
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
