"""Clock, memory and arithmetic of the machine."""

from __future__ import annotations

import pathlib
import statistics
import time
from collections.abc import Callable, Mapping

import tensorflow as tf

_PROCESS = pathlib.Path("/proc/self")
_SIDE = 2048  # of the matrices whose product tells the machine's rate


def in_turn(sides: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 2) -> dict[str, list[float]]:
    """Seconds of each call, the sides in turn, so that what else the machine does falls on all alike.

    Args:
        sides: by name, what to time; each must wait for its result.
        repeats: calls of each that count.
        warm_up: calls of each before, that do not.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warm_up + repeats):
        for name, call in sides.items():
            began = time.perf_counter()
            call()
            taken = time.perf_counter() - began
            if number >= warm_up:
                seconds[name].append(taken)
    return seconds


def summary(seconds: list[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}


def matmul() -> Callable[[], object]:
    """A product of two large float32 matrices, to be timed beside other things: see `MATMUL_COUNT`."""
    one, other = (tf.random.stateless_normal([_SIDE, _SIDE], [0, seed]) for seed in range(2))
    return lambda: tf.matmul(one, other).numpy()


MATMUL_COUNT = 2 * _SIDE**3


def forget_peak() -> int | None:
    """Makes the resident memory of now the peak, and returns it in bytes; None where Linux does not tell."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def peak_memory() -> int | None:
    """The process's peak of resident memory in bytes since it began, or since `forget_peak`."""
    return _status("VmHWM")


def peak_of_tensors() -> int | None:
    """Most bytes that tensors have had at once in this process, on the first GPU if there is one; None where
    TensorFlow's allocator does not tell, as on a CPU without oneDNN."""
    device = "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    try:
        return tf.config.experimental.get_memory_info(device)["peak"]
    except ValueError:
        return None


def _status(name: str) -> int | None:
    try:
        lines = (_PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)
