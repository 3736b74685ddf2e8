"""Signs of collapse are measured as they are defined, warned of once, and told again after a recovery."""

import json
import logging
import re

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import noise
from ssagan_tf.config import SETTINGS
from ssagan_tf.training.collapse import SIGNS, CollapseWatch
from ssagan_tf.training.run import Run

CAPTIONS = ["a red bird", "yellow wings"]


class Counter:
    step = 0


@pytest.fixture
def watch(tmp_path, tiny_model):
    model = tiny_model(random=True)
    (tmp_path / "run").mkdir()
    made = CollapseWatch(Run(tmp_path / "run"), CAPTIONS, Counter(), 3, None)
    made.set_model(model)
    return made


def steps(watch, count, loss=1.5):
    for _ in range(count):
        watch._progress.step += 1
        watch.on_train_batch_end(0, {"discriminator_loss": loss})


def test_what_is_measured_is_what_is_said(watch):
    watch._every = 1000
    steps(watch, 2, 1.0)
    steps(watch, 1, 2.5)
    values = watch.look()
    pictures = [watch.model(tf.constant(CAPTIONS), noise.normals([seed] * 2, 5)).numpy() for seed in (0, 1)]
    _, masks = watch.model.with_masks(tf.constant(CAPTIONS * 2), noise.normals([0, 0, 1, 1], 5))
    deviations = [np.mean([picture.std() for picture in mask.numpy()]) for mask in masks]
    assert values["discriminator_loss"] == pytest.approx(1.5)
    assert values["diversity"] == pytest.approx(np.abs(pictures[0] - pictures[1]).mean(), rel=1e-4)
    assert values["mask_deviation"] == pytest.approx(max(deviations), rel=1e-4)


def test_a_healthy_model_is_not_warned_of(watch, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        steps(watch, 3)
    assert not caplog.records


def collapse(watch):
    """One picture whatever the noise, flat masks."""
    generator = watch.model.generator
    for part in (generator.project, generator.to_rgb):
        part.kernel.assign(tf.zeros_like(part.kernel))


def test_a_collapsed_one_is_warned_of_once_with_what_to_try(watch, caplog):
    collapse(watch)
    with caplog.at_level(logging.WARNING, logger="absl"):
        steps(watch, 6, loss=0.0)
    for name in ("discriminator_loss", "diversity"):
        (message,) = [record.getMessage() for record in caplog.records if f" {name} is 0," in record.getMessage()]
        assert message.startswith("After iteration 3 ") and SIGNS[name].advice in message
    written = [json.loads(text) for text in (watch._run.folder / "log.jsonl").read_text().splitlines()]
    assert len(written) >= 2 and all(line["step"] == 3 and "Try this: " in line["warning"] for line in written)
    events = b"".join(path.read_bytes() for path in watch._run.tensorboard.iterdir())
    assert b"watch/diversity" in events and SIGNS["diversity"].advice.encode() in events


def test_flat_masks_are_warned_of_but_not_where_there_are_none(watch, caplog, tmp_path, monkeypatch):
    usual = watch.model.with_masks
    flat = lambda *given, **options: (usual(*given, **options)[0], (tf.fill([4, 4, 4, 1], 0.5),))  # noqa: E731
    monkeypatch.setattr(watch.model, "with_masks", flat)
    with caplog.at_level(logging.WARNING, logger="absl"):
        steps(watch, 3)
        assert "mask_deviation is 0, below 0.001: all masks are flat" in caplog.text
        caplog.clear()
        watch.model.generator.mask_blocks = 0
        assert "mask_deviation" not in watch.look() and not caplog.records


def test_what_is_advised_are_settings_and_flags_that_there_are():
    advice = " ".join(sign.advice for sign in SIGNS.values())
    names = re.findall(r"--set=([\w.]+)=", advice)
    flags = re.findall(r"--(?!set=)(\w+)", advice)
    assert len(names) == 5 and {SETTINGS[name.split(".")[1]].key for name in names} == set(names)
    assert flags == ["batch_size"] and SETTINGS["batch_size"].flag_name == "batch_size"


def test_after_a_recovery_it_is_told_again(watch, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        for loss in (0.0, 0.0, 1.0, 0.0):
            steps(watch, 3, loss)
    told = [record.getMessage().split()[2] for record in caplog.records if "discriminator_loss" in record.getMessage()]
    assert told == ["3", "12"]


def test_losses_of_skipped_steps_do_not_count(watch):
    watch._every = 1000
    steps(watch, 2, 1.0)
    steps(watch, 1, np.nan)
    assert watch.look()["discriminator_loss"] == 1.0
