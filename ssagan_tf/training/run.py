"""The run folder: everything about one training, and how to go on.

config.json  vocabulary.txt  README.md      what is trained, and how to go on
log.jsonl  tensorboard/                     the losses
samples/                                    sheets of the same captions and noise, as training goes on
checkpoints/step-00000100/                  resumable states
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shlex
import signal
import typing
from collections.abc import Iterator, Mapping

import tensorflow as tf

from ssagan_tf.config import Config
from ssagan_tf.core import files
from ssagan_tf.core.calling import command_of
from ssagan_tf.data.records import RUN_DATA
from ssagan_tf.errors import UserError
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training import checkpoint
from ssagan_tf.weights import tensor_files
from ssagan_tf.weights.model_folder import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE, folder_of

_README = """# A training run of ssagan_tf

Data set: {dataset}, {size} x {size} pixels. Settings: `config.json`.

Go on:  `{train} --out={run} --resume --steps=MORE`
Sample: `{sample} --model={run} --caption="..." --out=sheet.png`
Watch:  `tensorboard --logdir={run}`
"""
DATA = RUN_DATA


class Run:
    """A run folder.

    Args:
        folder: where; made by `begin`.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)
        self.checkpoints = self.folder / "checkpoints"
        self.best = self.folder / "best"
        self.scores = self.folder / "scores"
        self.pretraining = self.folder / "pretraining"
        self.samples = self.folder / "samples"
        self.tensorboard = self.folder / "tensorboard"
        self._log = self.folder / "log.jsonl"
        self._events: tf.summary.SummaryWriter | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Within it no other process trains in this folder. Raises UserError if one does already."""
        with files.folder_locked(self.folder):
            try:
                yield
            finally:
                if self._events is not None:
                    self._events.close()
                    self._events = None

    @property
    def events(self) -> tf.summary.SummaryWriter:
        """The one writer of TensorBoard's files: of several at a time TensorBoard may show one alone."""
        if self._events is None:
            self._events = tf.summary.create_file_writer(str(self.tensorboard))
        return self._events

    def begun(self) -> bool:
        """Whether `begin` was called on the folder, now or long ago."""
        return (self.folder / CONFIG_FILE).is_file()

    def begin(self, config: Config, vocabulary: Vocabulary) -> None:
        """Writes what the run is; over an earlier configuration if it is resumed."""
        vocabulary.save(self.folder / VOCABULARY_FILE)
        run = shlex.quote(str(self.folder))
        commands = {name: command_of(name) for name in ("train", "sample")}
        readme = _README.format(dataset=config.data.dataset, size=config.model.image_size, run=run, **commands)
        files.write_atomically(self.folder / "README.md", readme)
        # Last, because it marks a folder that has begun.
        config.save(self.folder / CONFIG_FILE)

    def config(self) -> Config:
        return Config.load(files.inside(self.folder, CONFIG_FILE))

    def vocabulary(self) -> Vocabulary:
        return Vocabulary.load(files.inside(self.folder, VOCABULARY_FILE))

    def log(self, line: Mapping[str, object]) -> None:
        """Adds a line to `log.jsonl`. Raises UserError if it cannot be written."""
        files.append(self._log, json.dumps(line) + "\n")

    def last_logged(self, name: str) -> typing.Any:
        """The last value of that name in `log.jsonl`, or None."""
        if not self._log.exists():
            return None
        values = [_parsed(line).get(name) for line in self._log.read_text(encoding="utf-8").splitlines()]
        return next((value for value in reversed(values) if value is not None), None)

    def forget_log_after(self, step: int) -> None:
        """Drops what a killed run logged beyond the iteration that it is resumed from."""
        if not self._log.exists():
            return
        lines = self._log.read_text(encoding="utf-8").splitlines(keepends=True)
        files.write_atomically(self._log, "".join(line for line in lines if _step_of(line) <= step))


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a training ended.

    Attributes:
        run: its folder.
        step: iterations done in all.
        signal: that stopped it, or None.
        time_is_up: whether `max_minutes` stopped it.
    """

    run: Run
    step: int
    signal: int | None
    time_is_up: bool

    def why(self, config: Config) -> str:
        """What stopped it, to be said after what was done; nothing if it came to its end."""
        if self.signal is not None:
            return f", stopped by {signal.Signals(self.signal).name}"
        return f", stopped after {config.train.max_minutes:g} minutes" if self.time_is_up else ""


def _step_of(line: str) -> float:
    return _parsed(line).get("step", math.inf)


def _parsed(line: str) -> dict[str, typing.Any]:
    """A line of the log; nothing of one that was cut off by a kill."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def load_model(
    path: str | os.PathLike, which: str = "newest", sampling_only: bool = True, trust: bool = False
) -> SSAGAN:
    """The model of a run folder (its newest whole checkpoint, averaged weights if there are any) or a model folder.

    Args:
        path: the folder, or what else `SSAGAN.from_preset` takes: a name, "synthbirds_64", or a handle.
        which: of a run's checkpoints: "newest", or "best", the one that scored best.
        sampling_only: of a run, leave out the networks that only training needs.
        trust: as for `SSAGAN.from_preset`.

    Raises:
        UserError: neither of both, no checkpoint yet, or none that was scored; a SavedModel that is not trusted.
    """
    run = Run(folder_of(path))
    if not run.begun():
        raise UserError(
            f"No model found. Received: {path}. Give a run folder made by train.py or a model folder: "
            f"both have a {CONFIG_FILE}."
        )
    chosen = {"newest": run.checkpoints, "best": run.best}[which]
    if which == "best" and not chosen.is_dir():
        raise UserError(
            f"Nothing was scored. Received: {path}. Train with --score_every=N, or take --checkpoint=newest."
        )
    if (run.folder / WEIGHTS_FILE).is_file() and not run.checkpoints.is_dir():
        return SSAGAN.from_preset(run.folder, trust)
    config, vocabulary = run.config(), run.vocabulary()
    config.refuse_programs(run.folder, trust)
    found = checkpoint.newest(chosen)
    if found is None:
        raise UserError(f"The run has no checkpoint yet. Received: {path}. Wait for one, or train on with --resume.")

    def build():
        return SSAGAN.from_settings(config, vocabulary, sampling_only)

    if config.model.text_encoder == "lstm":
        shapes = tensor_files.shapes_of(lambda: build().all_variables())
        there = {name: tuple(found.state[name].shape) for name in shapes if name in found.state}
        tensor_files.check_shapes(shapes, there, str(found.folder))
    model = build()
    wanted = model.all_variables()
    averaged = {name.replace("average/", "generator/"): name for name in found.state if name.startswith("average/")}
    state = {name: found.state[averaged.get(name, name)] for name in wanted if averaged.get(name, name) in found.state}
    tensor_files.assign_state(wanted, state, str(found.folder))
    return model
