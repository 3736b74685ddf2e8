"""The arrays of a run's newest checkpoint, compared to the last bit."""

import numpy as np

from ssagan_tf.training import checkpoint
from ssagan_tf.training.run import Run


def state(run: Run) -> dict[str, np.ndarray]:
    return checkpoint.newest(run.checkpoints).state


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]):
    assert set(one) == set(other)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
