"""Progress bar: one line, updated in place in a terminal; a line now and then in a file or a pipe."""

from __future__ import annotations

import contextlib
import datetime
import math
import sys
import time
from collections.abc import Iterator, Mapping

_BETWEEN_LINES, _BETWEEN_UPDATES = 30, 0.1  # seconds
_TO_THE_END = "\x1b[K"  # of the line: nothing of a longer one stays
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
        unit: what they are, in the plural.
        shown: False: nothing is.
        done: units done before, by a call that was interrupted.
        pictures: of a unit, so that the rate is told in pictures.
    """

    def __init__(
        self, target: int, unit: str = "steps", shown: bool = True, done: int = 0, pictures: int | None = None
    ):
        self._target = target
        self._unit, self._size = (unit, 1) if pictures is None else ("pictures", pictures)
        self._shown = shown and target > done and not _hidden
        self._before = self._done = done
        self._terminal = self._shown and sys.stdout.isatty()
        self._started = self._told = time.monotonic()

    def step(self, values: Mapping[str, float] | None = None) -> None:
        """One more unit is done; `values` are the newest of what is being watched."""
        self._done += 1
        if not self._shown:
            return
        now = time.monotonic()
        if self._done == self._target or now - self._told >= (_BETWEEN_UPDATES if self._terminal else _BETWEEN_LINES):
            self._told = now
            words = [f"{self._done:,}/{self._target:,}", *self._pace(now - self._started)]
            words += [f"{name} {value:.3g}" for name, value in (values or {}).items()]
            self._write("  ".join(words))

    def _pace(self, seconds: float) -> list[str]:
        units = self._done - self._before
        rate = units * self._size / seconds if seconds > 0 else math.inf
        left = datetime.timedelta(seconds=round(seconds / units * (self._target - self._done)))
        pace = f"{rate:,.0f} {self._unit}/s" if rate >= 10 else f"{rate:.2g} {self._unit}/s"
        return [pace, f"{left} left"] if self._done < self._target else [pace]

    def _write(self, line: str) -> None:
        if self._terminal:
            print(f"\r{line}{_TO_THE_END}", end="" if self._done < self._target else "\n", flush=True)
        else:
            print(line, flush=True)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_) -> None:
        if self._terminal and self._before < self._done < self._target:
            print()
