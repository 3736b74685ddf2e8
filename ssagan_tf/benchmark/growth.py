"""How time and memory grow: a training iteration with its batch, drawing with the number of pictures."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from ssagan_tf.benchmark.modes import Settings

# Memory's peak is a process's, so that each size has a process of its own.
_ALONE = """import json
from ssagan_tf import cli
cli.start_tensorflow()
from ssagan_tf.benchmark import modes
print(json.dumps(modes.measure(modes.Settings(**{settings!r}))))"""


def measure(settings: Settings) -> dict:
    """Measures "train" at batches of 1, 2, 4, ... up to `settings.batch`, "generate" at up to twice as many pictures.

    Returns:
        The settings, and "curves": by mode "sizes", "seconds" (medians), "memory" (bytes at the peak beyond what the
        process had with TensorFlow imported; left out where the system does not tell), and the `line` of each as
        "seconds_line" and "memory_line".
    """
    return {**dataclasses.asdict(settings), "curves": {mode: _curve(settings, mode) for mode in ("train", "generate")}}


def _curve(settings: Settings, mode: str) -> dict:
    most = settings.batch * (2 if mode == "generate" else 1)
    sizes = [2**power for power in range(most.bit_length())]
    reports = [_alone(dataclasses.replace(settings, mode=mode, batch=size)) for size in sizes]
    curve = {"sizes": sizes, "seconds": [report["sides"]["ours"]["seconds"]["median"] for report in reports]}
    if all("peak_memory" in report for report in reports):
        curve["memory"] = [report["peak_memory"] - report["memory_before"] for report in reports]
    return curve | {f"{name}_line": line(sizes, curve[name]) for name in ("seconds", "memory") if name in curve}


def _alone(settings: Settings) -> dict:
    command = [sys.executable, "-c", _ALONE.format(settings=dataclasses.asdict(settings))]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


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
