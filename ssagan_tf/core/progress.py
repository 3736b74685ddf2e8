"""How far long work is: a bar in a terminal, a line now and then in a file or a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping

_SECONDS_BETWEEN_LINES = 30
_hidden = False


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Within it, no new bar is shown: for what is done in the midst of work that has one."""
    global _hidden
    before, _hidden = _hidden, True
    try:
        yield
    finally:
        _hidden = before


class Bar:
    """Progress of a known number of units; as a context manager it leaves its line in the end, whatever happened.

    Args:
        target: units in all.
        unit: what one is called.
        shown: False: nothing is.
    """

    def __init__(self, target: int, unit: str = "step", shown: bool = True):
        self._target = target
        self._unit = unit
        self._shown = shown and target > 0 and not _hidden
        self._done = 0
        self._bar = None
        self._started = self._told = time.monotonic()
        if self._shown and sys.stdout.isatty():
            import keras

            self._bar = keras.utils.Progbar(target, unit_name=unit)

    def step(self, values: Mapping[str, float] | None = None) -> None:
        """One more unit is done; `values` are the newest of what is being watched."""
        self._done += 1
        if not self._shown:
            return
        values = dict(values or {})
        if self._bar is not None:
            self._bar.stateful_metrics = set(values)  # the newest, not their mean
            self._bar.update(self._done, list(values.items()))
            return
        now = time.monotonic()
        if self._done == self._target or now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            words = [f"{self._done:,}/{self._target:,}", f"{(now - self._started) / self._done:.3g} s/{self._unit}"]
            words += [f"{name} {value:.3g}" for name, value in values.items()]
            print("  ".join(words), flush=True)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None and self._done < self._target:
            print()
