"""Fuzzes everything that reads bytes from outside: what `make fuzz` runs.

    python tests/fuzz/fuzz.py                       # all targets, 100,000 inputs each
    python tests/fuzz/fuzz.py pickles 1000000       # one

With atheris, which finds its way by the code that each input reaches; without it by random changes of good inputs.
Prints a line for each target and exits with 1 if any of them crashed, took more than two minutes or 4 GB. Then the
input is in `crash-...` or `timeout-...` in the working folder.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NoReturn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from ssagan_tf.errors import UserError

INPUTS = 100_000
SECONDS = 120  # of the wall clock, and the machine may be busy
MEGABYTES = 4096


class Hang(BaseException):
    """No `except Exception` holds it."""


def main(arguments: list[str]) -> None:
    if arguments:
        fuzz(arguments[0], int(arguments[1]) if len(arguments) > 1 else INPUTS)
    from fuzz_targets import TARGETS

    print(f"{'target':<10} {'inputs':>9} {'taken':>9} {'refused':>9} {'slowest':>9} {'time':>7}", flush=True)
    failed = [name for name in TARGETS if subprocess.run([sys.executable, __file__, name], timeout=7200).returncode]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def fuzz(name: str, inputs: int) -> NoReturn:
    """Tries one target and ends the process."""
    try:
        import atheris
    except ImportError:
        atheris = None
    with (
        atheris.instrument_imports(include=["ssagan_tf", "pickle", "zipfile"]) if atheris else contextlib.nullcontext()
    ):
        take, seeds = _prepared(name)
    trial = Trial(name, take, inputs)
    if atheris is None:
        _by_chance(trial, seeds)
    from mutation import mutated

    def mutator(data: bytes, longest: int, seed: int) -> bytes:
        dice = random.Random(seed)
        return atheris.Mutate(data, longest) if dice.randrange(2) else mutated([data, *seeds], dice, data)[:longest]

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            (pathlib.Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", "-max_len=8192", "-seed=1", "-verbosity=0"]
        # One more: the last input of all ends the process from within.
        atheris.Setup([sys.argv[0], *limits, f"-runs={inputs + 1}", corpus], trial, custom_mutator=mutator)
        atheris.Fuzz()


def _prepared(name: str) -> tuple[Callable[[bytes], None], list[bytes]]:
    """What takes inputs, and the seeds; all is imported and traced then, which else would look like a hang."""
    import fuzz_targets

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # what is passed over with a warning, a million times
    target = fuzz_targets.TARGETS[name]
    seeds = target.seeds()
    for seed in seeds:
        with contextlib.suppress(UserError):
            target.take(seed)
    return target.take, seeds


class Trial:
    """Takes inputs one by one, counts, and ends the process with a line when there were enough."""

    def __init__(self, name, take, inputs):
        self.name, self.take, self.inputs = name, take, inputs
        self.tried = self.refused = 0
        self.slowest, self.began = 0.0, time.monotonic()

    def __call__(self, data: bytes) -> None:
        start = time.monotonic()
        try:
            self.take(data)
        except UserError as error:
            assert "\n" not in str(error), "a message of several lines"
            self.refused += 1
        self.slowest = max(self.slowest, time.monotonic() - start)
        self.tried += 1
        if self.tried == self.inputs:
            self.end()

    def end(self) -> NoReturn:
        counts = f"{self.tried:>9,} {self.tried - self.refused:>9,} {self.refused:>9,}"
        seconds = f"{self.slowest:>7.2f} s {time.monotonic() - self.began:>5.0f} s"
        print(f"{self.name:<10} {counts} {seconds}", flush=True)
        os._exit(0)


def _by_chance(trial: Trial, seeds: list[bytes]) -> NoReturn:
    from mutation import mutated

    def on_alarm(*_):
        raise Hang(f"more than {SECONDS} seconds")

    signal.signal(signal.SIGALRM, on_alarm)
    dice = random.Random(1)
    while True:
        data = mutated(seeds, dice)
        signal.alarm(SECONDS)
        try:
            trial(data)
        except BaseException:
            pathlib.Path(f"crash-{trial.name}").write_bytes(data)
            raise


if __name__ == "__main__":
    main(sys.argv[1:])
