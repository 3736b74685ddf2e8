"""Which run a checkpoint belongs to, and whether a training may go on from it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing

from absl import logging

from ssagan_tf.config import Config
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.errors import UserError
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training.checkpoint import Checkpoint
from ssagan_tf.training.run import Run

# What may change when a run is resumed; all else makes it another run.
_FREE = {
    "data_dir",
    "damsm",
    "initial_model",
    "word_vectors",
    "steps",
    "batch_size",
    "gradient_checkpointing",
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
