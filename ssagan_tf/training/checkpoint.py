"""Checkpoints: everything that an exact resume needs, written atomically."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shutil
import typing
from collections.abc import Mapping

import keras
import numpy as np
from absl import logging

from ssagan_tf.core import files
from ssagan_tf.errors import UserError
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.weights import tensor_files

_STATE = "state.safetensors"
_NOTE = "checkpoint.json"
_MAX_NOTE = 2**24  # bytes


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint as read: its folder, its iteration, its arrays by name, and what was noted of it."""

    folder: pathlib.Path
    step: int
    state: dict[str, np.ndarray]
    note: dict[str, typing.Any]


def variables(model: SSAGAN, average: keras.Model | None) -> dict[str, keras.Variable]:
    """All that training changes, by name: networks, optimizers, loss scale, the averaged generator and the
    chance of augmentation.

    Of what is random, dropout's state alone: noise, order of the data and all variation follow from seed and step.
    """
    parts = {
        "generator_optimizer": model.generator_optimizer,
        "discriminator_optimizer": model.discriminator_optimizer,
        "encoder_optimizer": model.encoder_optimizer,
        "loss_scale": model.loss_scale,
        "average": average,
        "augmentation": model.augmentation,
    }
    named = model.sampling_variables() | model.training_variables()
    named |= tensor_files.random_states("text_encoder", model.text_encoder.variables)
    for name, part in parts.items():
        if part is not None:
            named |= tensor_files.named_variables(name, part.variables)
    return named


def save(
    folder: pathlib.Path,
    step: int,
    named: Mapping[str, keras.Variable],
    keep: int,
    note: Mapping[str, typing.Any] | None = None,
) -> None:
    """Writes `folder/step-...` aside and renames it, with a note in its JSON file, then removes all but the newest
    `keep`.

    Raises:
        UserError: training has diverged, the disk is full or read-only; earlier checkpoints stay.
    """
    target = folder / f"step-{step:08d}"
    if target.exists():
        _remove(target)
    with files.folder_written_atomically(target) as aside:
        tensor_files.write_state(aside / _STATE, named)
        about = {**(note or {}), "step": step, "sha256": files.sha256(aside / _STATE)}
        about["note_sha256"] = _note_checksum(about)
        files.write_atomically(aside / _NOTE, json.dumps(about) + "\n")
    # Later ones are damaged, or this would not be where the run is: they must not crowd out good ones.
    for old in [each for each in _folders(folder) if each.name <= target.name][keep:]:
        _remove(old)
    for begun in folder.glob(".step-*"):  # by a run that was killed
        shutil.rmtree(begun)


def keep_alone(
    folder: pathlib.Path, step: int, named: Mapping[str, keras.Variable], note: Mapping[str, typing.Any]
) -> None:
    """As `save`, and no other stays, not even one of a later iteration, which is there if the run went back."""
    save(folder, step, named, keep=1, note=note)
    for other in _folders(folder):
        if other.name != f"step-{step:08d}":
            _remove(other)


class Best:
    """The best state of a run so far, alone in a folder, with what was noted of it: metric, value and count.

    Args:
        folder: where it is kept; what an earlier call kept there is compared with if metric and count are the same.
        named: what is saved, by name.
        metric: that the value is of.
        count: pictures that it is of: the distance of fewer pictures is larger.
        lowest: whether the lowest value is the best, not the highest.
    """

    def __init__(
        self, folder: pathlib.Path, named: Mapping[str, keras.Variable], metric: str, count: int, lowest: bool = False
    ):
        self._folder = folder
        self._named = named
        self._about = {"metric": metric, "count": count}
        self._sign = -1 if lowest else 1
        self._value: float | None = None
        try:
            found = newest(folder)
        except UserError as error:  # a run goes on from its own checkpoints, not from these
            logging.warning("The best so far is forgotten: %s", error)
            found = None
        if found is not None and self._about.items() <= found.note.items():
            self._value = float(found.note["value"])

    def offer(self, step: int, value: float) -> bool:
        """Keeps the state as it is now if its value is the best so far, and says whether it is."""
        if self._value is not None and self._sign * value <= self._sign * self._value:
            return False
        keep_alone(self._folder, step, self._named, {**self._about, "value": value})
        self._value = value
        return True


def _remove(checkpoint: pathlib.Path) -> None:
    """Not there any more at once, however long it takes to delete."""
    going = checkpoint.rename(checkpoint.with_name(f".{checkpoint.name}.removed"))
    shutil.rmtree(going)


def newest(folder: pathlib.Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; damaged ones are named in a warning and passed over. None: there is none.

    Raises:
        UserError: there are checkpoints and all are damaged.
    """
    found = _folders(folder)
    for each in found:
        try:
            return _read(each)
        except (UserError, OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            logging.warning("The checkpoint %s is damaged and passed over: %s", each, error)
    if found:
        raise UserError(f"All checkpoints are damaged. Received: {folder}. Restore one, or train anew.")
    return None


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _read(folder: pathlib.Path) -> Checkpoint:
    files.inside(folder.parent.parent, f"{folder.parent.name}/{folder.name}/{_STATE}")
    note = json.loads(files.read_regular(folder / _NOTE, _MAX_NOTE))
    if not isinstance(note, dict):
        raise UserError(f"The note is none. Received: {folder / _NOTE}. Use another checkpoint.")
    # Those of before the notes had one have no checksum of it.
    if note.pop("note_sha256", None) not in (_note_checksum(note), None):
        raise UserError(f"The note's checksum differs. Received: {folder / _NOTE}. Use another checkpoint.")
    if files.sha256(folder / _STATE) != note["sha256"]:
        raise UserError(f"The checksum differs. Received: {folder / _STATE}. Use another checkpoint.")
    return Checkpoint(folder, int(note["step"]), tensor_files.read_state(folder / _STATE), note)


def _note_checksum(note: Mapping[str, typing.Any]) -> str:
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()
