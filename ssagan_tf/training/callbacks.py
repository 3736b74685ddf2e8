"""Keras callbacks of a training; each also works in a notebook's `model.fit`."""

from __future__ import annotations

import math
import pathlib
import signal
import threading
import time
import typing
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from ssagan_tf import noise, pictures
from ssagan_tf.core.progress import Bar
from ssagan_tf.errors import UserError
from ssagan_tf.networks import Generator
from ssagan_tf.step.finite import was_skipped
from ssagan_tf.training import checkpoint
from ssagan_tf.training.devices import agreed
from ssagan_tf.training.run import Run
from ssagan_tf.training.skipped import SkippedSteps

_LOG_EVERY = 10  # iterations, whose mean is logged
_SHEET_SEEDS = 4


class Counting(typing.Protocol):
    """What knows the iteration: `Progress`, `Pretraining`."""

    @property
    def step(self) -> int: ...


class AverageGenerator(keras.callbacks.Callback):
    """Keeps a moving average of the generator (Yazici et al., "The unusual effectiveness of averaging in GAN
    training", 2019), whose pictures are better than those of its last iteration.

    Args:
        half_life: pictures seen until an iteration's weight has halved, whatever the batch size.
        batch_size: pictures of an iteration.
        model: the `SSAGAN` to be trained; `average` is made at once, so that a checkpoint can be read into it.

    Attributes:
        average: the averaged `Generator`.
    """

    def __init__(self, model: keras.Model, half_life: int, batch_size: int):
        super().__init__()
        self.average = Generator.from_config(model.generator.get_config() | {"name": "average"})
        self._pairs = list(zip(self.average.variables, model.generator.variables, strict=True))
        self._kept = 0.5 ** (batch_size / half_life)
        self._update = tf.function(self._move)
        for average, current in self._pairs:
            average.assign(current)

    def _move(self):
        for average, current in self._pairs:
            if average.dtype.startswith("int"):  # a counter
                average.assign(current)
            else:
                average.assign(average * self._kept + current * (1.0 - self._kept))

    def on_train_batch_end(self, batch, logs=None):
        if not was_skipped(logs):
            self._update()


class Progress(keras.callbacks.Callback):
    """A bar with the losses, and their means over ten iterations in `log.jsonl` and TensorBoard.

    Args:
        run: the run folder.
        first_step: iterations done before.
        steps: iterations in all.
        batch_size: pictures of an iteration.
        first_picture: pictures seen before; None: as many as those iterations have with this batch size.
        skipped: counts steps that were skipped, of a model that skips any.

    Raises:
        UserError: a loss is not finite; with `skipped`, too many in a row.
    """

    def __init__(
        self,
        run: Run,
        first_step: int,
        steps: int,
        batch_size: int,
        first_picture: int | None = None,
        skipped: SkippedSteps | None = None,
    ):
        super().__init__()
        self.step = first_step
        self._run = run
        self._batch_size = batch_size
        self._before = (first_step * batch_size if first_picture is None else first_picture) - first_step * batch_size
        self._skipped = skipped
        self._bar = Bar(steps, done=first_step, pictures=batch_size)
        self._gathered: list[dict[str, float]] = []
        self._started = time.monotonic()

    def pictures_before(self, step: int) -> int:
        """Pictures seen before that iteration, the first being 1: where in the stream its batch begins."""
        return self._before + (step - 1) * self._batch_size

    @property
    def pictures(self) -> int:
        """Pictures seen."""
        return self.pictures_before(self.step + 1)

    def on_train_begin(self, logs=None):
        self._started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        values = {name: float(value) for name, value in logs.items()}
        self._bar.step(_without_idle_damsm(values))
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if not wrong:
            self._gathered.append(values)
            if self._skipped is not None:
                self._skipped.finite(values)
        elif self._skipped is not None:
            self._skipped.skipped(self.step, values)
        else:
            raise UserError(
                f"Training has diverged. Received: {', '.join(wrong)} not finite at step {self.step}. "
                "Go on from the last checkpoint with --resume, or start anew with another --seed."
            )
        if self.step % _LOG_EVERY == 0:
            self._write()

    def _write(self):
        if not self._gathered:
            return
        means = {name: float(np.mean([each[name] for each in self._gathered])) for name in self._gathered[0]}
        if self._skipped is not None and self._skipped.total:
            means["skipped"] = self._skipped.total
        self._gathered.clear()
        seconds = time.monotonic() - self._started
        self._run.log({"step": self.step, "pictures": self.pictures, "seconds": seconds, **means})
        with self._run.events.as_default(self.step):
            for name, value in means.items():
                tf.summary.scalar(f"loss/{name}", value)
        self._run.events.flush()

    def on_train_end(self, logs=None):
        self._write()


def _without_idle_damsm(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value or not name.startswith("damsm")}


class Pretraining(keras.callbacks.Callback):
    """A bar with the losses of DAMSM.

    Args:
        first_step: iterations done before.
        steps: iterations in all.
        batch_size: pictures of an iteration.
    """

    def __init__(self, first_step: int, steps: int, batch_size: int):
        super().__init__()
        self.step = first_step
        self._bar = Bar(steps, done=first_step, pictures=batch_size)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self._bar.step({name: float(value) for name, value in logs.items()})


class Regular(keras.callbacks.Callback):
    """Looks at the model every so many iterations: what `look` of a subclass does.

    Args:
        run: the run folder.
        progress: knows the iteration.
        every: iterations between looks.
        at_end: whether to look after the last iteration, too.
    """

    def __init__(self, run: Run, progress: Progress, every: int, at_end: bool = False):
        super().__init__()
        self._run = run
        self._progress = progress
        self._every = every
        self._at_end = at_end

    def look(self):
        """Looks now."""
        raise NotImplementedError

    def on_train_batch_end(self, batch, logs=None):
        if self._progress.step % self._every == 0:
            self.look()

    def on_train_end(self, logs=None):
        if self._at_end and self._progress.step % self._every:
            self.look()

    def _plot(self, values: Mapping[str, float], prefix: str = "") -> None:
        """Numbers into TensorBoard."""
        with self._run.events.as_default(self._progress.step):
            for name, value in values.items():
                tf.summary.scalar(prefix + name, value)
        self._run.events.flush()

    def _warn(self, name: str, message: str) -> None:
        """A warning into `log.jsonl` and, by a name, into TensorBoard."""
        self._run.log({"step": self._progress.step, "warning": message})
        with self._run.events.as_default(self._progress.step):
            tf.summary.text(name, message)
        self._run.events.flush()


class SampleSheets(Regular):
    """Sheets of the same captions and noise as training goes on, with masks; PNG files and TensorBoard images.

    Args:
        run: the run folder.
        captions: one a row.
        progress: knows the iteration.
        every: iterations between sheets.
        average: the generator to draw with; None: the one in training.
    """

    def __init__(self, run: Run, captions: Sequence[str], progress: Progress, every: int, average: Generator | None):
        super().__init__(run, progress, every, at_end=True)
        self._captions = list(captions)
        self._average = average

    def look(self):
        """Draws and writes `samples/step-....png` and `samples/masks-step-....png`."""
        sheets = {"samples": self._sheet(), "masks": self._mask_sheet()}
        with self._run.events.as_default(self._progress.step):
            for name, sheet in sheets.items():
                pictures.save_png(sheet, self._run.samples / f"{name}-{self._progress.step:08d}.png")
                tf.summary.image(name, np.asarray(sheet.convert("RGB"))[None])
        self._run.events.flush()

    def _generate(self, captions, seeds):
        model = self.model
        generator = self._average or model.generator
        noise_batch = noise.normals(seeds, generator.noise_dim)
        image, masks = model.with_masks(tf.constant(captions), noise_batch, generator=generator)
        return pictures.to_uint8(image.numpy()), [mask.numpy() for mask in masks]

    def _sheet(self):
        rows = [(text, self._generate([text] * _SHEET_SEEDS, range(_SHEET_SEEDS))[0]) for text in self._captions]
        return pictures.caption_grid(rows)

    def _mask_sheet(self):
        drawn, masks = self._generate(self._captions, [0] * len(self._captions))
        return pictures.mask_sheet(drawn, masks, self._captions)


class Checkpoints(keras.callbacks.Callback):
    """Writes a checkpoint at the start (what was pretrained is not lost), every so many iterations and at the end.

    Args:
        folder: where they go.
        variables: what is saved, by name.
        progress: knows the iteration.
        every: iterations between checkpoints.
        keep: how many are kept.
        note: what is noted of each, beside its iteration.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        variables: Mapping[str, keras.Variable],
        progress: Counting,
        every: int,
        keep: int,
        note: Callable[[], Mapping[str, object]] = dict,
    ):
        super().__init__()
        self._folder = folder
        self._note = note
        self._variables = variables
        self._progress = progress
        self._every = every
        self._keep = keep
        self._saved = -1

    def on_train_begin(self, logs=None):
        if self._progress.step == 0:
            self.save()

    def on_train_batch_end(self, batch, logs=None):
        if self._progress.step % self._every == 0:
            self.save()

    def on_train_end(self, logs=None):
        if self._saved != self._progress.step:
            self.save()

    def save(self):
        """Writes one now."""
        checkpoint.save(self._folder, self._progress.step, self._variables, self._keep, self._note())
        self._saved = self._progress.step


class StopGently(keras.callbacks.Callback):
    """Ends training after the current iteration on Ctrl-C, SIGTERM or when the time is up, so that all is saved.

    Args:
        max_minutes: 0: no limit.

    Attributes:
        signal: the signal that came, or None.
        time_is_up: whether the limit was reached.
    """

    def __init__(self, max_minutes: float = 0.0):
        super().__init__()
        self.signal: int | None = None
        self.time_is_up = False
        self._agreed = False
        self._seconds = max_minutes * 60
        self._ends = math.inf
        self._handlers: dict[int, typing.Any] = {}

    def on_train_begin(self, logs=None):
        # Of the first training that it watches, if there are two.
        if self._seconds and self._ends == math.inf:
            self._ends = time.monotonic() + self._seconds
        if threading.current_thread() is threading.main_thread():  # only there are signals heard
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number, frame):
        self.signal = number
        # A second one ends the program at once.
        signal.signal(number, self._handlers[number])

    @property
    def stopped(self) -> bool:
        """Whether training was ended, by this process or by another that trains with it."""
        return self._agreed or self.signal is not None or self.time_is_up

    def on_train_batch_end(self, batch, logs=None):
        self.time_is_up = time.monotonic() >= self._ends
        self._agreed = agreed(self.model, self.stopped)
        if self._agreed:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.release()

    def release(self):
        """Gives the signals back; also to be called where training ends by an error."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
