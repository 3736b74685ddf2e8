"""Trainings: what they leave behind, which run they are, what they read and what they refuse."""

import json
import pathlib
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from states import assert_same, state

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.config import Config, preset
from ssagan_tf.core import files
from ssagan_tf.data.folder import Folder
from ssagan_tf.data.records import open_prepared
from ssagan_tf.training import resume, train
from ssagan_tf.training.run import Run, load_model


def values(model) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in model.sampling_variables().items()}


# === What a training leaves behind ===


def test_a_run_folder_explains_itself(straight, tiny):
    outcome, run = straight
    assert (outcome.step, outcome.signal, outcome.time_is_up) == (6, None, False)
    names = {path.name for path in run.folder.iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "vocabulary.txt",
        "log.jsonl",
        "checkpoints",
        "samples",
        "tensorboard",
        "data",
    }
    assert Config.load(run.folder / "config.json") == tiny
    assert "noise" in Vocabulary.load(run.folder / "vocabulary.txt")
    assert str(run.folder) in (run.folder / "README.md").read_text()
    assert [path.name for path in sorted(run.checkpoints.iterdir())] == [f"step-0000000{step}" for step in (2, 4, 6)]
    assert {path.name for path in run.samples.iterdir()} == {
        f"{kind}-0000000{step}.png" for kind in ("samples", "masks") for step in (3, 6)
    }
    graph, line = [json.loads(text) for text in (run.folder / "log.jsonl").read_text().splitlines()]
    assert (line["step"], line["pictures"]) == (6, 12)
    assert graph["SSAGAN_graph_seconds"] > 0 and run.last_logged("SSAGAN_graph_seconds") > 0
    assert len([path for path in run.tensorboard.iterdir() if "tfevents" in path.name]) == 1
    assert np.isfinite(list(line.values())).all()
    assert not list(run.folder.rglob("*.partial"))


def test_raw_pictures_are_prepared_into_the_run_once(straight):
    prepared = open_prepared(straight[1].folder / "data")
    assert prepared.name == "folder" and prepared.image_size == 8
    assert prepared.examples("train") + prepared.examples("test") == 12


def test_the_summary_says_what_was_written_and_what_to_run_next(straight, tiny):
    outcome, run = straight
    words = train.summary(outcome, tiny)
    assert "6 of 6 iterations" in words and "--resume --steps=12" in words
    assert f"--model={run.folder}" in words
    assert (run.samples / "samples-00000006.png").is_file() and str(run.samples / "samples-00000006.png") in words
    stopped = train.summary(train.Outcome(run, 4, signal.SIGTERM, False), tiny)
    assert "4 of 6" in stopped and "stopped by SIGTERM" in stopped
    late = train.summary(train.Outcome(run, 4, None, True), tiny.override(max_minutes=1.5))
    assert "stopped after 1.5 minutes" in late


def test_the_trained_model_draws_with_its_average(straight):
    run = straight[1]
    model = load_model(run.folder)
    found = state(run)
    for variable in model.generator.variables:
        name = "average/" + variable.path.split("/", 1)[1]
        np.testing.assert_array_equal(variable.numpy(), found[name])
    assert model.generate("picture of noise", seed=1, count=2).shape == (2, 8, 8, 3)


def test_sheets_are_of_captions_whose_words_are_known(pictures):
    data = Folder(pictures)
    every = [example.captions[0] for example in data.examples("test")]
    assert len(every) > 1 and len(set(every)) == len(every)
    known = Vocabulary.build(every[-1:])
    assert train.sheet_captions(data, known) == [every[-1], *every[:-1]]
    assert train.sheet_captions(data, Vocabulary.build(every)) == every


def test_a_run_that_is_in_use_is_refused_and_stays(copy, tiny):
    before = sorted(copy.folder.rglob("*"))
    with files.folder_locked(copy.folder):
        with pytest.raises(UserError, match=f"Another process works in this folder. Received: {copy.folder}, in use"):
            train.train(Run(copy.folder), tiny)
    assert sorted(copy.folder.rglob("*")) == before


# === Which run ===


def test_a_new_run_takes_a_preset_and_flags(tmp_path):
    run, config = resume.resolve(tmp_path / "new", False, "small", dataset="cub", data_dir="birds", steps=7)
    assert run.folder == tmp_path / "new" and not run.folder.exists()
    # Pretraining is no longer than the training after it, unless it is said to be.
    assert config == preset("small", "cub").override(data_dir="birds", steps=7, pretraining_steps=7)
    given = {"dataset": "cub", "steps": 7, "pretraining_steps": 9}
    assert resume.resolve(tmp_path / "new", False, "small", **given)[1].train.pretraining_steps == 9
    with pytest.raises(UserError, match="A data set is missing"):
        resume.resolve(tmp_path / "new", False, "small")


def test_a_run_that_ended_in_its_pretraining_names_no_file_that_is_not_there(tmp_path):
    outcome = train.Outcome(Run(tmp_path), 0, signal.SIGINT, False)
    text = train.summary(outcome, preset("small", "cub"))
    assert "during the pretraining, stopped by SIGINT" in text and "--resume" in text
    assert "samples" not in text and "sample.py" not in text


def test_a_run_without_a_name_is_named_after_data_set_and_time():
    run, _ = resume.resolve(None, False, "small", dataset="synthbirds")
    assert run.folder.parent == pathlib.Path("runs") and run.folder.name.startswith("synthbirds-")


def test_a_folder_in_use_is_refused(straight, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("")
    for folder in (straight[1].folder, tmp_path / "file", tmp_path / "used"):
        with pytest.raises(UserError, match=f"not empty. Received: {folder}. Choose"):
            resume.resolve(folder, False, "small", dataset="folder")


def test_an_empty_folder_and_one_in_which_preparing_was_broken_off_may_be_used(tmp_path):
    (tmp_path / "data").mkdir()
    for _ in range(2):
        assert resume.resolve(tmp_path, False, "small", dataset="cub")[0].folder == tmp_path
        (tmp_path / "data" / "unfinished.json").write_text("{}")


def test_a_run_that_goes_on_keeps_its_settings_and_tells_what_changed(straight, tiny, caplog):
    folder = straight[1].folder
    with caplog.at_level("INFO", logger="absl"):
        _, config = resume.resolve(folder, True, steps=50, data_dir="elsewhere")
    assert config == tiny.override(steps=50, data_dir="elsewhere")
    assert [record.getMessage() for record in caplog.records] == [
        f"Going on with data_dir='elsewhere', was {tiny.data.data_dir!r}.",
        f"Going on with steps=50, was {tiny.train.steps}.",
    ]
    with pytest.raises(UserError, match="keeps its settings. Received: --preset=small. Leave it out"):
        resume.resolve(folder, True, "small", dataset="folder")


@pytest.mark.parametrize("flags", [{"base_filters": 2}, {"image_size": 16}, {"seed": 6}])
def test_a_run_does_not_go_on_as_another_one(straight, flags):
    ((name, value),) = flags.items()
    was = {"base_filters": 1, "image_size": 8, "seed": 5}[name]
    with pytest.raises(UserError, match=f"other settings. Received: .*: {name}={value}, was {was}. Leave"):
        resume.resolve(straight[1].folder, True, **flags)
    with pytest.raises(UserError, match="dataset='cub', was 'folder'"):
        resume.resolve(straight[1].folder, True, dataset="cub")


def test_resuming_needs_a_folder():
    with pytest.raises(UserError, match="--resume without --out"):
        resume.resolve(None, True)


def test_a_run_to_resume_that_is_not_there_is_an_error_with_near_names(copy, tmp_path):
    for name, near in (("cpoy", f"Did you mean {copy.folder}. "), ("other/place", "")):
        wrong = tmp_path / name
        with pytest.raises(UserError, match=f"No run to resume. Received: {wrong}. {near}Leave --resume out"):
            resume.resolve(wrong, True, dataset="folder")
        assert not wrong.exists()


def test_a_damaged_configuration_is_told(copy):
    (copy.folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not complete. Received: .*config.json without model"):
        resume.resolve(copy.folder, True)


# === Models to draw with ===


def test_what_is_no_model_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=f"No model found. Received: {folder}. Give"):
            load_model(folder)


def test_a_run_without_a_checkpoint_is_told(copy):
    shutil.rmtree(copy.checkpoints)
    copy.checkpoints.mkdir()
    with pytest.raises(UserError, match="no checkpoint yet. Received"):
        load_model(copy.folder)


def test_a_model_folder_is_read_as_well(straight, tiny, tmp_path):
    model = load_model(straight[1].folder)
    model.save_to_preset(tmp_path / "model", tiny, "# Dots\n")
    assert_same(values(load_model(tmp_path / "model")), values(model))


# === Data ===


def test_data_prepared_for_something_else_is_refused(straight, tiny, tmp_path):
    run = Run(tmp_path / "new")
    for changes in ({"image_size": 16}, {"dataset": "cub"}):
        config = tiny.override(data_dir=str(straight[1].folder / "data"), **changes)
        with pytest.raises(UserError, match="prepared for something else. Received: .*folder at 8 pixels. Wanted: "):
            train.open_training_data(config, run)
    assert not run.folder.exists()


def test_prepared_data_is_taken_as_it_is(straight, tiny, tmp_path):
    folder = straight[1].folder / "data"
    data = train.open_training_data(tiny.override(data_dir=str(folder)), Run(tmp_path / "new"))
    assert data.folder == folder


@pytest.fixture
def shard(copy):
    return next((copy.folder / "data").glob("train-*.tfrecord"))


def test_a_truncated_shard_is_told_before_training(copy, tiny, shard, tmp_path):
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"Shards are damaged or missing.*Received: {shard.name}") as refused:
        train.train(Run(tmp_path / "new"), tiny.override(data_dir=str(copy.folder / "data")))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_damage_inside_a_shard_is_told_in_one_line(copy, tiny, shard, tmp_path, monkeypatch):
    monkeypatch.setattr(SSAGAN, "train_step", lambda model, batch: {"loss": tf.reduce_sum(batch["image"])})
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(data)
    with pytest.raises(UserError, match="prepared data is damaged. Received: .*Run prepare_data.py") as refused:
        train.train(Run(tmp_path / "new"), tiny.override(data_dir=str(copy.folder / "data")))
    assert "\n" not in str(refused.value)


def test_a_wrong_folder_is_told_in_one_line(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        for dataset in ("cub", "coco", "folder"):
            with pytest.raises(UserError, match="Received: ") as refused:
                train.train(Run(tmp_path / "new"), tiny.override(dataset=dataset, data_dir=str(tmp_path / name)))
            assert "\n" not in str(refused.value)
    assert not (tmp_path / "new" / "config.json").exists()
