"""A step with something that is not finite leaves no trace, whatever was not finite and wherever it began."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import losses
from ssagan_tf.step.finite import was_skipped
from ssagan_tf.training import checkpoint

NAMES = {"discriminator_loss", "gradient_penalty", "generator_loss", "damsm_fake", "damsm_real"}


def batch(value: float = 0.5) -> dict[str, tf.Tensor]:
    image = np.full((2, 8, 8, 3), 0.25, "float32")
    image[1, 2, 3, 0] = value
    return {
        "image": tf.constant(image),
        "caption": tf.constant([[1, 2, 3], [4, 5, 0]]),
        "class_id": tf.constant([0, 1]),
    }


@pytest.fixture
def ready(tiny_model, randomize):
    def make(**options):
        model = tiny_model(**options)
        randomize(model.generator)
        randomize(model.discriminator, 1)
        randomize(model.text_encoder, 2)
        model.compile()
        return model

    return make


def state(model) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in checkpoint.variables(model, None).items()}


def assert_same(one, other):
    for name, value in one.items():
        if "random_" not in name:
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_a_picture_that_is_not_finite_changes_nothing_and_the_next_step_goes_on(ready):
    model, twin = ready(text_training="end_to_end"), ready(text_training="end_to_end")
    for each in (model, twin):
        each.train_step(batch())
    before = state(model)
    assert all(name.startswith("generator/") for name in before if name.endswith("/batches"))
    for value in (np.nan, np.inf):
        logs = model.train_step(batch(value))
        # The generator's own loss is finite here: its step would have been done, and the discriminator's not.
        assert was_skipped({name: float(told) for name, told in logs.items()})
        assert_same(state(model), before)
    for each in (model, twin):
        each.train_step(batch())
    assert_same(state(model), state(twin))
    assert int(model.discriminator_optimizer.iterations) == 4


def test_a_gradient_that_is_not_finite_behind_a_loss_that_is_shows_in_the_losses(ready, monkeypatch):
    @tf.custom_gradient
    def broken(x):
        return tf.identity(x), lambda upstream: upstream * np.inf

    usual = losses.hinge_generator_loss
    monkeypatch.setattr(losses, "hinge_generator_loss", lambda *given: broken(usual(*given)))
    model = ready()
    before = state(model)
    logs = model.train_step(batch())
    # Both steps of the discriminator were done by then, and are undone.
    assert_same(state(model), before)
    assert set(logs) == NAMES and all(np.isnan(told) for told in logs.values())


def test_an_overflow_in_an_optimizers_slot_is_found_too(ready, monkeypatch):
    usual = losses.hinge_generator_loss
    monkeypatch.setattr(losses, "hinge_generator_loss", lambda *given: usual(*given) * 1e25)
    model = ready()
    before = state(model)
    model.train_step(batch())
    assert_same(state(model), before)


def test_finite_steps_are_as_without_the_guard(ready):
    model, plain = ready(), ready()
    for _ in range(2):
        one, other = model.train_step(batch()), type(plain).train_step.__wrapped__(plain, batch())
        assert {name: float(value) for name, value in one.items()} == {name: float(v) for name, v in other.items()}
        assert not was_skipped({name: float(value) for name, value in one.items()})
    assert_same(state(model), state(plain))


def test_fit_goes_on_after_a_step_that_was_skipped(ready, eagerly):
    model, twin = ready(), ready()
    for each, values in ((model, [0.1, np.nan, 0.2]), (twin, [0.1, 0.2])):
        told = []
        stream = tf.data.Dataset.from_generator(
            lambda values=values: iter([batch(value) for value in values]),
            output_signature={name: tf.TensorSpec(value.shape, value.dtype) for name, value in batch().items()},
        )
        keep = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda _, logs, told=told: told.append(was_skipped(logs))
        )
        with eagerly():
            each.fit(stream, callbacks=[keep], verbose=0, shuffle=False)
        assert told == [np.isnan(value) for value in values]
    assert_same(state(model), state(twin))


@pytest.mark.parametrize("by_xla", [False, True])
def test_in_a_graph_it_leaves_no_trace_either(ready, by_xla):
    model = ready()
    step = tf.function(model.train_step, autograph=False, jit_compile=by_xla)
    before = state(model)
    step(batch(np.nan))
    assert_same(state(model), before)
    step(batch())
    assert (state(model)["generator_optimizer/iteration"], before["generator_optimizer/iteration"]) == (1, 0)


@pytest.mark.parametrize(("logs", "skipped"), [(None, False), ({}, False), ({"a": 1.0}, False), ({"a": np.inf}, True)])
def test_losses_tell_whether_a_step_was_skipped(logs, skipped):
    assert was_skipped(logs) is skipped
