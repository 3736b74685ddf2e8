"""A training that is killed again and again ends as if it had never been stopped."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_six_kills_change_nothing():
    command = [sys.executable, str(ROOT / "tests" / "training" / "kills.py"), "6", "1"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 kills survived" in done.stdout
