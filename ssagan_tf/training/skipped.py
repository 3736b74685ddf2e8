"""Counts and logs steps that were rolled back (`step.finite`), and stops after too many in a row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

import keras
import numpy as np
import safetensors.numpy
from absl import logging

from ssagan_tf.core import files
from ssagan_tf.data.source import some
from ssagan_tf.errors import UserError
from ssagan_tf.training.run import Run
from ssagan_tf.weights import tensor_files

MOST_IN_A_ROW = 10


class SkippedSteps:
    """Counts skipped steps and ends training after `MOST_IN_A_ROW` in a row.

    Args:
        run: the run folder; `not_finite/step-...` in it gets what is known when training ends so.
        variables: the model's, by name, as the last finite step left them.
        batch_of: iteration -> the batch that it took, with its pictures' keys as "key".

    Attributes:
        total: how many there were.
    """

    def __init__(
        self, run: Run, variables: Mapping[str, keras.Variable], batch_of: Callable[[int], Mapping[str, np.ndarray]]
    ):
        self.total = 0
        self._run = run
        self._variables = variables
        self._batch_of = batch_of
        self._in_a_row: list[int] = []
        self._last_finite: dict[str, float] = {}
        self._scale = math.inf

    def finite(self, losses: dict[str, float]) -> None:
        """A step that was done."""
        self._in_a_row.clear()
        self._last_finite = losses
        self._scale = losses.get("loss_scale", 1.0)

    def skipped(self, step: int, losses: dict[str, float]) -> None:
        """A step that was not. Raises UserError if it is one too many.

        Where it lowered the loss scale the scale was the fault, and it does not count.
        """
        self.total += 1
        before, self._scale = self._scale, losses.get("loss_scale", math.inf)
        if self._scale < before:
            logging.info("Step %d was skipped: a gradient overflowed. The loss scale is now %g.", step, self._scale)
            return
        self._in_a_row.append(step)
        logging.warning("Step %d was skipped and changed nothing: %s.", step, _what(losses))
        if len(self._in_a_row) == MOST_IN_A_ROW:
            self._end(step, losses)

    def _end(self, step: int, losses: dict[str, float]) -> None:
        batches = {number: self._batch_of(number) for number in self._in_a_row}
        keys = {number: [_text(key) for key in batch["key"]] for number, batch in batches.items()}
        folder = self._run.folder / "not_finite" / f"step-{step:08d}"
        about = {
            "losses": {name: str(value) for name, value in losses.items()},
            "last_finite_losses": self._last_finite,
            "pictures": keys,
        }
        if not folder.exists():  # from the same steps, before they were gone through again
            with files.folder_written_atomically(folder) as aside:
                files.write_atomically(aside / "about.json", json.dumps(about, indent=2) + "\n")
                numbers = {name: value for name, value in batches[step].items() if name != "key"}
                files.write_atomically(aside / "batch.safetensors", safetensors.numpy.save(numbers))
                tensor_files.write_state(aside / "state.safetensors", self._variables)
        last = ", ".join(f"{name} {value:.4g}" for name, value in self._last_finite.items()) or "none"
        raise UserError(
            f"Training has diverged: {MOST_IN_A_ROW} steps in a row were not finite and were skipped. Received: "
            f"{_what(losses)} at step {step}, of the pictures {some(keys[step])}; the last finite losses: {last}. "
            f"Look into {folder}, go on from the last checkpoint with --resume, or start anew with another --seed."
        )


def _what(losses: dict[str, float]) -> str:
    if all(math.isnan(value) for name, value in losses.items() if name != "loss_scale"):
        return "a gradient or all losses not finite"
    return f"{', '.join(name for name, value in losses.items() if not math.isfinite(value))} not finite"


def _text(key: bytes | str) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)
