"""Rates of DAMSM's pretraining: the published ones, the cosine, and that an epoch begins with a new optimizer."""

import math

import keras
import numpy as np
import pytest

from ssagan_tf.training.pretraining.schedules import PretrainingRate, cosine_rate, published_rate


def test_the_published_rate_falls_by_two_percent_an_epoch_to_a_tenth():
    # The published program: multiply after each epoch, as long as the rate is above a tenth of the first.
    rate = 2e-3
    for epoch in range(600):
        assert published_rate(2e-3, epoch) == pytest.approx(rate, rel=1e-9)
        if rate > 2e-4:
            rate *= 0.98
    assert 0.97 * 2e-4 < published_rate(2e-3, 599) <= 2e-4


def test_the_cosine_rises_for_a_while_and_falls_to_a_hundredth():
    rates = [cosine_rate(1.0, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.02) and np.argmax(rates) == 49
    assert all(earlier > later for earlier, later in zip(rates[49:], rates[50:], strict=False))
    assert rates[500] == pytest.approx(0.505) and rates[-1] == pytest.approx(0.01, rel=0.01)
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)


class Counter:
    def __init__(self, step: int):
        self.step = step


class Model:
    def __init__(self):
        self.weight = keras.Variable([1.0, 2.0])
        self.optimizer = keras.optimizers.Adam(0.5)
        self.optimizer.build([self.weight])

    def step(self):
        self.optimizer.apply([np.ones(2, "float32")], [self.weight])


def drive(schedule: str, steps: int, epoch: int = 3):
    """The model, and the learning rate and the optimizer's own count of each iteration."""
    model, counter, seen = Model(), Counter(0), []
    callback = PretrainingRate(schedule, 0.1, 6, epoch, counter)
    callback.set_model(model)
    for _ in range(steps):
        callback.on_train_batch_begin(0)
        seen.append((float(model.optimizer.learning_rate), int(model.optimizer.iterations)))
        model.step()
        counter.step += 1
    return model, seen


def test_each_published_epoch_has_a_new_optimizer_and_its_own_rate():
    model, seen = drive("published", 6)
    np.testing.assert_allclose([rate for rate, _ in seen], [0.1] * 3 + [0.098] * 3, rtol=1e-6)
    assert [count for _, count in seen] == [0, 1, 2, 0, 1, 2]
    fresh = Model()
    fresh.optimizer.learning_rate = 0.098
    for _ in range(3):
        fresh.step()
    for one, other in zip(model.optimizer.variables, fresh.optimizer.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, err_msg=one.path)


def test_under_the_cosine_the_optimizer_stays():
    _, seen = drive("cosine", 6)
    np.testing.assert_allclose([rate for rate, _ in seen], [cosine_rate(0.1, step, 6) for step in range(6)], rtol=1e-6)
    assert [count for _, count in seen] == list(range(6))
