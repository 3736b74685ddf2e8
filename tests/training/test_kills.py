"""A training that is killed again and again ends as if it had never been stopped."""

import pathlib

import processes
import pytest


@pytest.mark.slow
def test_six_kills_change_nothing():
    done = processes.python(pathlib.Path(__file__).parent / "kills.py", 6, 1, seconds=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 kills survived" in done.stdout
