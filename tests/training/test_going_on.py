"""Trainings go on as if they had never stopped, and do not go on from what is damaged or another run's."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from states import assert_same, state

from ssagan_tf import SSAGAN, UserError
from ssagan_tf.config import Config
from ssagan_tf.core import files
from ssagan_tf.training import checkpoint, train
from ssagan_tf.training.run import Run, load_model


def test_training_is_the_same_with_a_break_as_without(straight, copy, tiny):
    outcome = train.train(copy, tiny)
    assert outcome.step == 6
    assert_same(state(copy), state(straight[1]))
    for name in ("samples-00000006.png", "masks-00000006.png"):
        assert (copy.samples / name).read_bytes() == (straight[1].samples / name).read_bytes()


@pytest.mark.slow
def test_adaptive_augmentation_goes_on_the_same_after_a_break(tiny, tmp_path):
    config = tiny.override(augment="adaptive", augment_pictures=10, ema_pictures=0, sample_every=100)
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    train.train(whole, config)
    train.train(broken, config.override(steps=3))
    train.train(broken, config)
    assert_same(state(broken), state(whole))
    assert {"augmentation/chance", "augmentation/signal"} <= set(state(whole))
    *_, line = [json.loads(text) for text in (whole.folder / "log.jsonl").read_text().splitlines()]
    assert 0 <= line["augment_chance"] <= 1
    with pytest.raises(UserError, match="augment='none', was 'adaptive'"):
        train.train(broken, config.override(augment="none", steps=7))


def test_a_damaged_newest_checkpoint_is_passed_over(copy, tiny, caplog):
    shutil.copytree(copy.checkpoints / "step-00000002", copy.checkpoints / "step-00000004")
    (copy.checkpoints / "step-00000004" / "state.safetensors").write_bytes(b"")
    with caplog.at_level("INFO", logger="absl"):
        assert train.train(copy, tiny.override(steps=2)).step == 2
    assert "step-00000004" in caplog.text and "Nothing is left to do" in caplog.text


def test_what_a_killed_run_logged_beyond_its_checkpoint_is_forgotten(copy):
    log = copy.folder / "log.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    copy.forget_log_after(2)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_when_all_checkpoints_are_damaged_it_is_said_in_one_line(copy, tiny):
    for folder in copy.checkpoints.iterdir():
        (folder / "state.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="All checkpoints are damaged. Received"):
        train.train(copy, tiny)
    with pytest.raises(UserError, match="All checkpoints are damaged. Received"):
        load_model(copy.folder)


def test_with_another_batch_size_no_picture_is_passed_over_or_seen_again(copy, tiny, monkeypatch):
    begun = []
    usual = train.training_batches

    def spied(*given, **options):
        begun.append(options["first_picture"])
        return usual(*given, **options)

    monkeypatch.setattr(train, "training_batches", spied)
    monkeypatch.setattr(SSAGAN, "train_step", lambda model, batch: {"loss": tf.reduce_sum(batch["image"])})
    for steps, batch_size in ((4, 3), (5, 2)):
        train.train(copy, tiny.override(steps=steps, batch_size=batch_size))
    # Two iterations of two pictures, two of three.
    assert begun == [4, 10]
    assert checkpoint.newest(copy.checkpoints).note["pictures"] == 12


def test_a_checkpoint_says_whose_it_is_and_another_run_does_not_go_on_from_it(copy, tiny):
    note = checkpoint.newest(copy.checkpoints).note
    assert Config.from_json(json.dumps(note["config"])) == tiny
    assert (note["pictures"], note["devices"]) == (4, 1)
    (copy.folder / "vocabulary.txt").write_text((copy.folder / "vocabulary.txt").read_text().replace("noise", "nose"))
    with pytest.raises(UserError, match="begun with other words. Received: .*step-00000002"):
        train.train(copy, tiny)


def test_what_is_missing_in_a_checkpoint_is_named(copy, tiny):
    folder = copy.checkpoints / "step-00000002"
    held = safetensors.numpy.load_file(folder / "state.safetensors")
    del held["generator_optimizer/iteration"]
    safetensors.numpy.save_file(held, folder / "state.safetensors")
    note = json.loads((folder / "checkpoint.json").read_text())
    note["sha256"] = files.sha256(folder / "state.safetensors")
    del note["note_sha256"]
    (folder / "checkpoint.json").write_text(json.dumps(note))
    with pytest.raises(UserError, match="generator_optimizer/iteration is missing"):
        train.train(copy, tiny)


def test_training_that_diverges_ends_with_the_pictures_and_the_weights_before(copy, tiny, monkeypatch):
    taken = []
    usual = train.training_batches

    def spied(*given, keys=False, **options):
        batches = usual(*given, keys=True, **options)

        def note(batch):
            keep = lambda names: taken.append([name.decode() for name in names])  # noqa: E731
            (key,) = [batch.pop("key")]
            with tf.control_dependencies([tf.numpy_function(keep, [key], [])]):
                return batch | {"image": batch["image"] * np.nan}

        return batches if keys else batches.map(note)

    monkeypatch.setattr(train, "training_batches", spied)
    # A step that leaves no trace, as test_finite.py shows of the model's own.
    monkeypatch.setattr(SSAGAN, "train_step", lambda model, batch: {"generator_loss": tf.reduce_sum(batch["image"])})
    before = state(copy)
    with pytest.raises(UserError, match="diverged: 10 steps in a row"):
        train.train(copy, tiny.override(steps=50))
    (folder,) = (copy.folder / "not_finite").iterdir()
    about = json.loads((folder / "about.json").read_text())
    assert list(about["pictures"].values()) == taken[:10]
    left = safetensors.numpy.load_file(folder / "state.safetensors")
    assert_same(left, before)


@pytest.mark.slow
def test_joint_training_with_pretraining_goes_on_the_same_after_a_break(tiny, tmp_path):
    model = dataclasses.replace(tiny.model, image_encoder="compact", text_training="damsm")
    config = dataclasses.replace(tiny, model=model).override(
        image_size=16, pretraining_steps=2, pretraining_batch_size=3, steps=4
    )
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    train.train(whole, config)
    train.train(broken, config.override(steps=2))
    train.train(broken, config)
    assert_same(state(broken), state(whole))
    assert any(name.startswith("image_encoder/") for name in state(whole))
