"""Queries the machine's hardware."""

from __future__ import annotations

import pathlib

import tensorflow as tf
from absl import logging

_CPUINFO = pathlib.Path("/proc/cpuinfo")
# What an x86 or an ARM processor calls its instructions that multiply matrices of such numbers.
_INSTRUCTIONS = {
    "mixed_bfloat16": {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"},
    "mixed_float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}


def cpu_flags() -> set[str]:
    """The instruction sets of the processor, as Linux names them; empty where it does not tell."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    told = [line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))]
    return set(told[0]) if told else set()


def warn_if_slow(precision: str) -> bool:
    """Warns, and returns whether it did, where a processor without a GPU has to emulate the precision's numbers.

    Emulated, they take several times as long as float32.
    """
    wanted = _INSTRUCTIONS.get(precision)
    if wanted is None or tf.config.list_physical_devices("GPU"):
        return False
    flags = cpu_flags()
    if not flags or flags & wanted:
        return False
    logging.warning(
        "This processor has no instructions for %s, which will be several times slower than float32.", precision
    )
    return True
