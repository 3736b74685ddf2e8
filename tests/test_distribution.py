"""Two devices train as one does with the same global batch."""

import os
import pathlib
import subprocess
import sys

import pytest

from ssagan_tf import distribution

ROOT = pathlib.Path(__file__).parents[1]


def test_helpers_do_nothing_on_one_device():
    import tensorflow as tf

    x = tf.constant([[1.0], [2.0], [3.0]])
    assert distribution.replicas() == 1
    for function in (distribution.gather, distribution.own_part, distribution.sum_over_replicas):
        assert function(x) is x
    assert distribution.next_samples(x).numpy().tolist() == [[2.0], [3.0]]


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path):
    script = ROOT / "tests" / "two_devices.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "EQUAL" in done.stdout
