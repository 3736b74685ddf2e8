"""All figures that the owner of another machine can measure in minutes: `scripts/benchmark.py --mode=report`."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import itertools
import json
import os
import pathlib
import platform

import tensorflow as tf

from ssagan_tf.core import files, hardware
from ssagan_tf.core.progress import Bar
from ssagan_tf.experiments.benchmark import modes


def measure_all(settings: modes.Settings) -> dict:
    """Training and sampling in float32 and half precision, each with and without XLA, and reading of data.

    Args:
        settings: sizes; mode, precision and XLA vary.

    Returns:
        "machine", and "measured": what `modes.measure` tells of each, or "error" in its place.
    """
    half = "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"
    asked = [
        dataclasses.replace(settings, mode=mode, precision=precision, jit=jit)
        for mode, precision, jit in itertools.product(("train", "sample"), ("float32", half), (False, True))
    ]
    asked.append(dataclasses.replace(settings, mode="data"))
    measured = []
    with Bar(len(asked), "measurements") as bar:
        for each in asked:
            measured.append(_measured(each))
            bar.step()
    return {"machine": _machine(), "measured": measured}


def _measured(settings: modes.Settings) -> dict:
    try:
        return modes.measure(settings)
    except (tf.errors.OpError, MemoryError) as error:  # the others still tell something
        reason = str(error).strip().splitlines()
        return {**dataclasses.asdict(settings), "error": reason[0] if reason else type(error).__name__}


def _machine() -> dict:
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    return {
        "system": platform.platform(),
        "processor": hardware.cpu_name() or platform.processor(),
        "cores": os.cpu_count(),
        "gpus": names,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "ssagan_tf": importlib.metadata.version("ssagan_tf"),
    }


def write(report: dict, path: pathlib.Path) -> list[pathlib.Path]:
    """Writes the report as JSON, and a table of it as Markdown beside it; returns both paths."""
    table = path.with_suffix(".md")
    files.write_atomically(path, json.dumps(report, indent=2) + "\n")
    files.write_atomically(table, as_table(report))
    return [path, table]


def as_table(report: dict) -> str:
    """The report in Markdown."""
    machine = report["machine"]
    on = ", ".join(machine["gpus"]) or f"{machine['processor']}, {machine['cores']} cores"
    lines = [
        f"{on}; TensorFlow {machine['tensorflow']}, ssagan_tf {machine['ssagan_tf']}",
        "",
        "| mode | width | pixels | batch | precision | XLA | seconds | pictures a second | peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join(lines + [_row(each) for each in report["measured"]]) + "\n"


def _row(each: dict) -> str:
    sizes = f"{each['mode']} | {each['nf']} | {each['image_size']} | {each['batch']}"
    how = f"{each['precision']} | {'yes' if each['jit'] else 'no'}"
    if "error" in each:
        return f"| {sizes} | {how} | {each['error'].replace('|', '/')} | | |"
    side = each["sides"]["batches" if each["mode"] == "data" else "ours"]
    times, memory = side["seconds"], each.get("peak_of_tensors") or each.get("peak_memory")
    seconds = f"{times['median']:.3f} ({times['least']:.3f} to {times['most']:.3f})"
    return f"| {sizes} | {how} | {seconds} | {side['pictures_per_second']:.1f} | {_megabytes(memory)} |"


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.0f} MB"
