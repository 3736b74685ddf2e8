"""Child processes of tests. Each has a deadline, and none outlives its test, nor do processes that it started."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
SECONDS = 300
PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL


def environment(**variables: str) -> dict[str, str]:
    """This process's variables and these, for a child that imports this checkout's package."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", **variables}


def run(*command: object, check: bool = False, **options) -> subprocess.CompletedProcess:
    """Runs a command to its end, with what it prints captured as text.

    Args:
        check: whether a status other than 0 fails the test.
        options: of `started`.
    """
    with started(*command, **{"stderr": PIPE, **options}) as process:
        stdout, stderr = process.communicate()
    assert not check or process.returncode == 0, f"{command}: status {process.returncode}\n{stderr or ''}"
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def python(*arguments: object, **options) -> subprocess.CompletedProcess:
    """`run` of this Python."""
    return run(sys.executable, *arguments, **options)


@contextlib.contextmanager
def started(*command: object, seconds: float = SECONDS, **options) -> Iterator[subprocess.Popen]:
    """A process with its stdout in a pipe, killed with all its children at the end of the block or of its time.

    Reads from it and waits for it end then, too, and the test fails.

    Args:
        seconds: how long it may take.
        options: of `subprocess.Popen`; by default it imports this checkout's package.
    """
    options = {
        "stdin": subprocess.DEVNULL,
        "stdout": PIPE,
        "text": True,
        "env": environment(),
        **options,
    }
    late = threading.Event()
    with subprocess.Popen(list(map(str, command)), start_new_session=True, **options) as process:
        timer = threading.Timer(seconds, lambda: (late.set(), _kill(process)))
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            _kill(process)
    assert not late.is_set(), f"killed after {seconds} seconds: {command}"


def _kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
