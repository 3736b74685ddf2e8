"""The child processes of tests: none without a deadline, none left behind."""

import os
import pathlib
import re
import signal
import time

import processes
import pytest

TESTS = pathlib.Path(__file__).parent
# Sleeps in a child of its own that holds the pipes open, too.
SLEEP = ["sh", "-c", "sleep 60 & echo $!; wait"]


def gone(pid: int) -> bool:
    """Whether a process has ended, given a moment."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":  # dead, and nobody has asked for it
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_a_late_process_is_killed_with_its_children():
    with pytest.raises(AssertionError, match="killed after 0.5 seconds"):
        processes.run(*SLEEP, seconds=0.5)


def test_a_read_from_a_late_process_ends():
    with pytest.raises(AssertionError, match="killed after 0.5 seconds"):
        with processes.started(*SLEEP, seconds=0.5) as process:
            child = int(process.stdout.readline())
            assert process.stdout.readline() == ""
    assert gone(child)


def test_no_process_outlives_its_block():
    with processes.started(*SLEEP) as process:
        child = int(process.stdout.readline())
    assert process.returncode == -signal.SIGKILL and gone(child)


def test_children_can_be_interrupted():
    # A shell starts what runs in its background with SIGINT ignored, which children would inherit.
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert processes.python("-c", code).stdout == "True\n"


def test_every_child_process_of_a_test_has_a_deadline():
    # Beside them two programs that have a deadline of their own, or are given one by `test_kills.py`.
    raw = re.compile(r"\b(subprocess|os)\.(run|Popen|call|check_\w+|system|popen|fork|\w*spawn)\w*\(")
    found = {path.name for path in TESTS.rglob("*.py") if raw.search(path.read_text())}
    assert found == {"processes.py", "fuzz.py", "kills.py"}
