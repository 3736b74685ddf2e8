"""Skipped steps are counted and forgiven; too many in a row end training with all that is known of them."""

import json
import logging

import keras
import numpy as np
import pytest
import safetensors.numpy

from ssagan_tf import UserError
from ssagan_tf.training.callbacks import Progress
from ssagan_tf.training.run import Run
from ssagan_tf.training.skipped import MOST_IN_A_ROW, SkippedSteps

GOOD, BAD = {"one": 2.0, "two": 0.5}, {"one": 2.0, "two": float("nan")}


def batch_of(step: int) -> dict:
    return {"key": np.array([f"birds/{step}".encode(), b"\xff"], object), "image": np.full((2, 1), step, "float32")}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    return Run(tmp_path / "run")


@pytest.fixture
def progress(run):
    """Of steps 6, 7, ... with two pictures each, after 30 pictures in larger batches."""
    skipped = SkippedSteps(run, {"net/weight": keras.Variable([1.0, 2.0])}, batch_of)
    made = Progress(run, 5, 100, 2, first_picture=30, skipped=skipped)
    made.on_train_begin()
    made.skipped = skipped
    return made


def go(progress, *steps):
    for logs in steps:
        progress.on_train_batch_end(0, logs)


def test_skipped_steps_are_told_counted_and_left_out_of_the_means(run, progress, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        go(progress, GOOD, BAD, {"one": 4.0, "two": 1.5}, GOOD, GOOD)
    (line,) = [json.loads(text) for text in (run.folder / "log.jsonl").read_text().splitlines()]
    assert (line["step"], line["pictures"], line["one"], line["two"], line["skipped"]) == (10, 40, 2.5, 0.75, 1)
    assert "Step 7 was skipped and changed nothing: two not finite." in caplog.text
    assert not (run.folder / "not_finite").exists()


def test_a_finite_step_between_them_begins_the_count_anew(progress):
    for _ in range(2):
        go(progress, *[BAD] * (MOST_IN_A_ROW - 1), GOOD)
    assert progress.skipped.total == 2 * (MOST_IN_A_ROW - 1)


def test_too_many_in_a_row_end_training_and_leave_everything_behind(run, progress):
    go(progress, GOOD)
    with pytest.raises(UserError, match="diverged: 10 steps in a row.*Received: two not finite at step 16") as refused:
        go(progress, *[BAD] * MOST_IN_A_ROW)
    words = str(refused.value)
    assert "birds/16; \ufffd" in words and "last finite losses: one 2, two 0.5" in words and "\n" not in words
    folder = run.folder / "not_finite" / "step-00000016"
    about = json.loads((folder / "about.json").read_text())
    assert about["last_finite_losses"] == GOOD and about["losses"] == {"one": "2.0", "two": "nan"}
    assert about["pictures"] == {str(step): [f"birds/{step}", "\ufffd"] for step in range(7, 17)}
    np.testing.assert_array_equal(safetensors.numpy.load_file(folder / "batch.safetensors")["image"], [[16], [16]])
    np.testing.assert_array_equal(safetensors.numpy.load_file(folder / "state.safetensors")["net/weight"], [1, 2])


def test_when_it_happens_again_what_was_left_behind_is_kept(run, progress):
    folder = run.folder / "not_finite" / "step-00000015"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match="diverged"):
        go(progress, *[BAD] * MOST_IN_A_ROW)
    assert not list(folder.iterdir())


def test_where_a_step_begins_in_the_stream_follows_from_the_pictures_before(progress):
    assert progress.pictures == 30 and progress.pictures_before(6) == 30 and progress.pictures_before(8) == 34
