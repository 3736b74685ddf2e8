"""Half precision: training stays finite and close to float32, and an overflow lowers the loss scale and no more."""

import dataclasses
import logging
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import SSAGAN, UserError, Vocabulary, losses
from ssagan_tf.config import Config
from ssagan_tf.core import hardware
from ssagan_tf.networks import Discriminator, Generator, TextEncoder
from ssagan_tf.step.finite import was_skipped
from ssagan_tf.step.loss_scale import LossScale
from ssagan_tf.training import checkpoint, train
from ssagan_tf.training.run import Run, load_model
from ssagan_tf.training.skipped import MOST_IN_A_ROW, SkippedSteps

HALVES = ["mixed_float16", "mixed_bfloat16"]


def batch(value: float = 0.5) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(3)
    image = random.uniform(-1, 1, (4, 16, 16, 3)).astype("float32")
    image[1, 2, 3, 0] = value
    return {
        "image": tf.constant(image),
        "caption": tf.constant([[1, 2, 3, 4], [2, 5, 6, 0], [4, 5, 0, 0], [6, 0, 0, 0]]),
        "class_id": tf.constant([0, 1, 2, 3]),
        "noise": tf.constant(random.normal(size=(4, 5)).astype("float32")),
    }


@pytest.fixture(scope="module")
def ready(randomize):
    """A compiled model with plain steps, so that its weights move by just their gradients."""

    def make(precision: str, rate: float = 0.001) -> SSAGAN:
        generator = Generator(4, 16, 5, 6, 3, name="g", dtype=precision)
        discriminator = Discriminator(4, 16, 6, name="d", dtype=precision)
        model = SSAGAN(generator, discriminator, TextEncoder(7, 6, 0.0, 5, name="t"), text_training="end_to_end")
        for seed, part in enumerate((generator, discriminator, model.text_encoder)):
            randomize(part, seed)
        model.compile(*(keras.optimizers.SGD(rate) for _ in range(3)))
        return model

    return make


def weights(model) -> list[np.ndarray]:
    parts = model.generator, model.discriminator, model.text_encoder
    return [np.concatenate([v.numpy().ravel() for v in part.trainable_variables]) for part in parts]


def state(model) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in checkpoint.variables(model, None).items()}


def done(step) -> dict[str, tf.Tensor]:
    """The losses of the first step that is not skipped, while the loss scale is found."""
    for _ in range(12):
        logs = step(batch())
        if not was_skipped({name: float(value) for name, value in logs.items()}):
            return logs
    raise AssertionError(f"still not finite: {logs}")


# === Close to float32 ===


@pytest.fixture(scope="module")
def exact(ready):
    """Five steps in float32: weights before, losses, weights after."""
    model = ready("float32")
    return weights(model), [model.train_step(batch()) for _ in range(5)], weights(model)


@pytest.mark.parametrize("precision", HALVES)
def test_training_stays_finite_and_close_to_float32(ready, exact, precision):
    half, (start, losses_of_steps, ended) = ready(precision), exact
    tolerance = 0.003 if precision == "mixed_float16" else 0.02
    for expected in losses_of_steps:
        told = done(half.train_step)
        for name, value in expected.items():
            assert told[name].dtype == tf.float32
            np.testing.assert_allclose(told[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
    for before, one, other in zip(start, ended, weights(half), strict=True):
        moved = np.linalg.norm(one - before)
        assert moved > 0 and np.linalg.norm(other - one) < 20 * tolerance * moved


@pytest.mark.parametrize("precision", HALVES)
def test_weights_masks_losses_and_optimizers_are_float32(ready, precision):
    model = ready(precision)
    assert {v.dtype for v in state(model).values()} <= {np.dtype(kind) for kind in ("float32", "int32", "int64")}
    given = batch()
    image, masks = model.generator(given["noise"], model.text_encoder(given["caption"])[1], training=True)
    assert {x.dtype for x in (image, *masks)} == {tf.float32}
    assert model.generator.blocks[0].conv1.compute_dtype == precision.removeprefix("mixed_")


def test_what_weights_learn_does_not_depend_on_the_scale(ready):
    moved = []
    for scale in (2.0**4, 2.0**10):
        model = ready("mixed_float16")
        start = weights(model)
        model.loss_scale.variables[0].assign(scale)
        assert not was_skipped({name: float(value) for name, value in model.train_step(batch()).items()})
        moved.append([after - before for before, after in zip(start, weights(model), strict=True)])
    for one, other in zip(*moved, strict=True):
        assert np.linalg.norm(one - other) < 0.01 * np.linalg.norm(one)


# === The scale ===


def test_an_overflow_halves_the_scale_and_changes_nothing_else(ready, monkeypatch):
    usual = losses.hinge_generator_loss
    # The gradient overflows until the scale is 2 ** 10.
    monkeypatch.setattr(losses, "hinge_generator_loss", lambda *given: usual(*given) * 256.0)
    model = ready("mixed_float16", 1e-6)
    before = state(model)
    step = tf.function(model.train_step)
    scales = []
    while True:
        logs = {name: float(value) for name, value in step(batch()).items()}
        if not was_skipped(logs):
            break
        scales.append(logs["loss_scale"])
        assert np.isnan(logs["generator_loss"])
        for name, value in state(model).items():
            if not name.startswith("loss_scale/"):
                np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert scales == [2.0 ** (14 - index) for index in range(len(scales))] and len(scales) > 1
    assert any(not np.array_equal(value, before[name]) for name, value in state(model).items() if name[:2] == "ge")


def test_a_picture_that_is_not_finite_does_not_lower_the_scale(ready):
    model = ready("mixed_float16")
    logs = {name: float(value) for name, value in model.train_step(batch(np.nan)).items()}
    assert was_skipped(logs) and logs["loss_scale"] == 2.0**15


def test_the_scale_grows_after_many_steps_and_has_bounds():
    scale, yes, no = LossScale(), tf.constant(True), tf.constant(False)
    adapt = tf.function(scale.adapt)
    told = [float(adapt(yes, no)) for _ in range(4000)]
    assert told[1998] == 2.0**15 and told[1999] == told[3998] == 2.0**16 and told[3999] == 2.0**17
    # An overflow begins the count anew.
    for _ in range(1999):
        adapt(yes, no)
    assert float(adapt(no, yes)) == float(adapt(yes, no)) == 2.0**16
    for _ in range(30):
        lowest = adapt(no, yes)
    assert float(lowest) == 1.0


def test_an_overflow_is_no_fault_of_the_batch_and_does_not_end_training(tmp_path):
    skipped = SkippedSteps(Run(tmp_path), {}, lambda step: {"key": np.array([b"a"])})
    nan = float("nan")
    for step in range(15):
        skipped.skipped(step, {"generator_loss": nan, "loss_scale": 2.0 ** (14 - step)})
    assert skipped.total == 15
    with pytest.raises(UserError, match=f"{MOST_IN_A_ROW} steps in a row.*a gradient or all losses not finite"):
        for step in range(MOST_IN_A_ROW):
            skipped.skipped(15 + step, {"generator_loss": nan, "loss_scale": 1.0})


# === A run ===


@pytest.mark.slow
def test_a_run_in_float16_goes_on_after_a_break_as_without(tiny_run_config, tmp_path):
    config = tiny_run_config.override(precision="mixed_float16", steps=4, checkpoint_every=2, sample_every=4)
    runs = [Run(tmp_path / name) for name in ("straight", "broken")]
    train.train(runs[0], config)
    for steps in (2, 4):
        train.train(runs[1], config.override(steps=steps))
    one, other = (checkpoint.newest(run.checkpoints).state for run in runs)
    assert one["loss_scale/steps"] == 4
    assert set(one) == set(other)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    assert load_model(runs[0].folder).generator.compute_dtype == "float32"


@pytest.fixture
def tiny_run_config() -> Config:
    sizes = {"noise_dim": 5, "sentence_dim": 6, "mask_filters": 3, "embedding_dim": 5}
    config = Config().override(dataset="synthbirds", image_size=8, base_filters=1, batch_size=2, pretraining_steps=0)
    return dataclasses.replace(
        config, model=dataclasses.replace(config.model, **sizes, image_encoder=None, text_training="frozen")
    )


def test_an_unknown_precision_is_refused():
    with pytest.raises(UserError, match="No such precision. Received: 'float8'.*Use one of float32, mixed_float16"):
        Config().override(precision="float8")


def test_only_generator_and_discriminator_take_the_precision():
    vocabulary = Vocabulary.build(["a red bird"])
    config = Config().override(image_size=16, base_filters=1).model
    model = SSAGAN.from_model_config(config, vocabulary, precision="mixed_bfloat16")
    networks = model.generator, model.discriminator, model.text_encoder, model.image_encoder
    assert [each.compute_dtype for each in networks] == ["bfloat16", "bfloat16", "float32", "float32"]


# === The processor ===


@pytest.mark.parametrize(
    ("flags", "precision", "warned"),
    [
        ("flags\t\t: fpu avx2 avx512f", "mixed_bfloat16", True),
        ("flags\t\t: fpu avx2 avx512_bf16", "mixed_bfloat16", False),
        ("flags\t\t: fpu avx2 avx512_bf16", "mixed_float16", True),
        ("Features\t: fp asimdhp bf16", "mixed_float16", False),
        ("flags\t\t: fpu avx2", "float32", False),
        ("model name : unknown", "mixed_bfloat16", False),
    ],
)
def test_a_processor_that_would_emulate_the_precision_is_warned_of(
    monkeypatch, tmp_path, caplog, flags, precision, warned
):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    monkeypatch.setattr(hardware, "_CPUINFO", pathlib.Path(tmp_path / "cpuinfo"))
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\nprocessor : 1\n")
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert hardware.warn_if_slow(precision) is warned
    assert (f"no instructions for {precision}" in caplog.text) is warned
