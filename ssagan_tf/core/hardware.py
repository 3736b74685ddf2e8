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
    return set(_told("flags", "features").split())


def cpu_name() -> str:
    """As Linux has it; empty where it does not tell."""
    return _told("model name")


def _told(*names: str) -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.lower().startswith(names)), "")


def has_instructions(precision: str) -> bool:
    """Whether the processor is known to multiply matrices of the precision's numbers."""
    return bool(cpu_flags() & _INSTRUCTIONS.get(precision, set()))


def warn_if_slow(precision: str) -> bool:
    """Warns, and returns whether it did, where a processor without a GPU has to emulate the precision's numbers.

    Emulated, they take several times as long as float32.
    """
    if precision not in _INSTRUCTIONS or tf.config.list_physical_devices("GPU"):
        return False
    if not cpu_flags() or has_instructions(precision):
        return False
    logging.warning(
        "This processor has no instructions for %s, which will be several times slower than float32.", precision
    )
    return True
