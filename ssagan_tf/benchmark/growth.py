"""How time and memory grow: a training iteration with its batch, drawing with the number of pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from ssagan_tf.benchmark import machine, modes
from ssagan_tf.benchmark.modes import Settings
from ssagan_tf.errors import UserError
from ssagan_tf.progress import Bar

_WARM_UP = 1  # after the first call
_PROCESS = """from ssagan_tf import cli
cli.start_tensorflow()
from ssagan_tf.benchmark import growth, modes
growth.answer(modes.Settings(**{settings!r}))"""


def measure(settings: Settings) -> dict:
    """Measures "train" at batches of 1, 2, 4, ... up to `settings.batch`, "generate" at up to twice as many pictures.

    The sizes of a curve take turns, so that what else the machine does falls on all alike.

    Returns:
        The settings, and "curves": by mode "sizes", "seconds" (medians), "memory" (bytes at the peak beyond what the
        process had with TensorFlow imported; left out where the system does not tell), and the `line` of each as
        "seconds_line" and "memory_line".

    Raises:
        UserError: a size's process failed; its own error is on stderr.
    """
    return {**dataclasses.asdict(settings), "curves": {mode: _curve(settings, mode) for mode in ("train", "generate")}}


def _curve(settings: Settings, mode: str) -> dict:
    most = settings.batch * (2 if mode == "generate" else 1)
    sizes = [2**power for power in range(most.bit_length())]
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(Bar(len(sizes) * (1 + _WARM_UP + settings.repeats), "call"))
        processes = {}
        for size in sizes:
            process = _Process(dataclasses.replace(settings, mode=mode, batch=size))
            processes[str(size)] = stack.enter_context(process)
            process()  # builds and traces: one after the other
            bar.step()
        seconds = machine.in_turn(processes, settings.repeats, _WARM_UP, bar.step)
        memory = [process.peak_memory() for process in processes.values()]
    curve: dict = {"sizes": sizes, "seconds": [machine.summary(times)["median"] for times in seconds.values()]}
    if None not in memory:
        curve["memory"] = memory
    return curve | {f"{name}_line": line(sizes, curve[name]) for name in ("seconds", "memory") if name in curve}


class _Process:
    """A process that does `answer`: memory's peak is a process's, so that each size has its own.

    It ends with its standard input, also where this process is killed.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        command = [sys.executable, "-c", _PROCESS.format(settings=dataclasses.asdict(settings))]
        # A group of its own: Ctrl-C is said once.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )

    def __enter__(self) -> _Process:
        return self

    def __call__(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and tells nothing
            print(file=self._process.stdin, flush=True)
        self._told(self._process.stdout.readline())

    def peak_memory(self) -> int | None:
        """Ends it, and returns bytes at the peak beyond what it began with; None where the system does not tell."""
        return json.loads(self._told(self._process.communicate()[0]))

    def _told(self, words: str) -> str:
        if not words:
            status = self._process.wait()
            raise UserError(
                f"A size could not be measured. Received: {self._settings.mode} at {self._settings.batch}: "
                f"the process ended with status {status}. Its error is above; if there is none, memory may be short: "
                "give a smaller --batch."
            )
        return words

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.communicate()


def answer(settings: Settings) -> None:
    """What a size's process does: a call for each line that it reads, told by a line. At their end it tells the peak of
    memory beyond what there was before, in bytes, null where the system does not tell."""
    before = machine.forget_peak()
    (side,) = modes.MODES[settings.mode](settings).values()
    for _ in sys.stdin:
        side.call()
        print(flush=True)
    peak = machine.peak_memory()
    print(json.dumps(None if before is None or peak is None else peak - before))


def line(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """The straight line through values that are all larger than 0.

    It is the one whose relative distances from the values are least in squares, so that small sizes count, too.

    Returns:
        "start" at size 0, "slope" by size, and "deviation": the largest distance of a value from the line, as a part of
        the value.
    """
    across, up = np.asarray(sizes, np.float64), np.asarray(values, np.float64)
    slope, start = np.polyfit(across, up, 1, w=1 / up)
    distances = np.abs(start + slope * across - up) / up
    return {"start": float(start), "slope": float(slope), "deviation": float(distances.max())}
