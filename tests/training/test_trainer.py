"""Trainings: what they leave behind, going on as if they had never stopped, and what they refuse."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from ssagan_tf import SSAGAN, UserError, Vocabulary, files
from ssagan_tf.config import Config, preset
from ssagan_tf.data.folder import Folder
from ssagan_tf.data.records import open_prepared
from ssagan_tf.training import checkpoint, trainer
from ssagan_tf.training.run import Run, load_model

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "train.py"


def state(run: Run) -> dict[str, np.ndarray]:
    return checkpoint.newest(run.checkpoints).state


def values(model) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in model.sampling_variables().items()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]):
    assert set(one) == set(other)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.fixture(scope="module")
def straight(tiny, tmp_path_factory):
    """Six steps without a break."""
    run = Run(tmp_path_factory.mktemp("straight") / "run")
    return trainer.train(run, tiny), run


@pytest.fixture
def copy(straight, tmp_path):
    """The same run as if it had been killed after step 2."""
    run = Run(shutil.copytree(straight[1].folder, tmp_path / "copy"))
    for folder in run.checkpoints.iterdir():
        if folder.name > "step-00000002":
            shutil.rmtree(folder)
    shutil.rmtree(run.samples)
    return run


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
    (line,) = [json.loads(text) for text in (run.folder / "log.jsonl").read_text().splitlines()]
    assert (line["step"], line["pictures"]) == (6, 12)
    assert np.isfinite(list(line.values())).all()
    assert not list(run.folder.rglob("*.partial"))


def test_raw_pictures_are_prepared_into_the_run_once(straight):
    prepared = open_prepared(straight[1].folder / "data")
    assert prepared.name == "folder" and prepared.image_size == 8
    assert prepared.examples("train") + prepared.examples("test") == 12


def test_the_summary_says_what_was_written_and_what_to_run_next(straight, tiny):
    outcome, run = straight
    words = trainer.summary(outcome, tiny)
    assert "6 of 6 iterations" in words and "--resume --steps=12" in words
    assert f"--model={run.folder}" in words
    assert (run.samples / "samples-00000006.png").is_file() and str(run.samples / "samples-00000006.png") in words
    stopped = trainer.summary(trainer.Outcome(run, 4, signal.SIGTERM, False), tiny)
    assert "4 of 6" in stopped and "stopped by SIGTERM" in stopped
    late = trainer.summary(trainer.Outcome(run, 4, None, True), tiny.override(max_minutes=1.5))
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
    assert trainer.sheet_captions(data, known) == [every[-1], *every[:-1]]
    assert trainer.sheet_captions(data, Vocabulary.build(every)) == every


# === Going on ===


def test_training_is_the_same_with_a_break_as_without(straight, copy, tiny):
    outcome = trainer.train(copy, tiny)
    assert outcome.step == 6
    assert_same(state(copy), state(straight[1]))
    for name in ("samples-00000006.png", "masks-00000006.png"):
        assert (copy.samples / name).read_bytes() == (straight[1].samples / name).read_bytes()


def test_adaptive_augmentation_goes_on_the_same_after_a_break(tiny, tmp_path):
    config = tiny.override(augment="adaptive", augment_pictures=10, ema_pictures=0, sample_every=100)
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    trainer.train(whole, config)
    trainer.train(broken, config.override(steps=3))
    trainer.train(broken, config)
    assert_same(state(broken), state(whole))
    assert {"augmentation/chance", "augmentation/signal"} <= set(state(whole))
    (line,) = [json.loads(text) for text in (whole.folder / "log.jsonl").read_text().splitlines()]
    assert 0 <= line["augment_chance"] <= 1
    with pytest.raises(UserError, match="augment='none', was 'adaptive'"):
        trainer.train(broken, config.override(augment="none", steps=7))


def test_a_damaged_newest_checkpoint_is_passed_over(copy, tiny, caplog):
    shutil.copytree(copy.checkpoints / "step-00000002", copy.checkpoints / "step-00000004")
    (copy.checkpoints / "step-00000004" / "state.safetensors").write_bytes(b"")
    # Nothing is left to do from step 2 on, so nothing is traced.
    with caplog.at_level("WARNING", logger="absl"), pytest.raises(UserError, match="--steps=2, and 2 are done. Give"):
        trainer.train(copy, tiny.override(steps=2))
    assert "step-00000004" in caplog.text


def test_what_a_killed_run_logged_beyond_its_checkpoint_is_forgotten(copy):
    log = copy.folder / "log.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    copy.forget_log_after(2)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_when_all_checkpoints_are_damaged_it_is_said_in_one_line(copy, tiny):
    for folder in copy.checkpoints.iterdir():
        (folder / "state.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="All checkpoints are damaged. Received"):
        trainer.train(copy, tiny)
    with pytest.raises(UserError, match="All checkpoints are damaged. Received"):
        load_model(copy.folder)


def test_with_another_batch_size_no_picture_is_passed_over_or_seen_again(copy, tiny, monkeypatch):
    begun = []
    usual = trainer.training_batches

    def spied(*given, **options):
        begun.append(options["first_picture"])
        return usual(*given, **options)

    monkeypatch.setattr(trainer, "training_batches", spied)
    for steps, batch_size in ((4, 3), (5, 2)):
        trainer.train(copy, tiny.override(steps=steps, batch_size=batch_size))
    # Two iterations of two pictures, two of three.
    assert begun == [4, 10]
    assert checkpoint.newest(copy.checkpoints).note["pictures"] == 12


def test_a_checkpoint_says_whose_it_is_and_another_run_does_not_go_on_from_it(copy, tiny):
    note = checkpoint.newest(copy.checkpoints).note
    assert Config.from_json(json.dumps(note["config"])) == tiny
    assert (note["pictures"], note["devices"]) == (4, 1)
    (copy.folder / "vocabulary.txt").write_text((copy.folder / "vocabulary.txt").read_text().replace("noise", "nose"))
    with pytest.raises(UserError, match="begun with other words. Received: .*step-00000002"):
        trainer.train(copy, tiny)


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
        trainer.train(copy, tiny)


def test_training_that_diverges_ends_with_the_pictures_and_the_weights_before(copy, tiny, monkeypatch):
    taken = []
    usual = trainer.training_batches

    def spied(*given, keys=False, **options):
        batches = usual(*given, keys=True, **options)

        def note(batch):
            keep = lambda names: taken.append([name.decode() for name in names])  # noqa: E731
            (key,) = [batch.pop("key")]
            with tf.control_dependencies([tf.numpy_function(keep, [key], [])]):
                return batch | {"image": batch["image"] * np.nan}

        return batches if keys else batches.map(note)

    monkeypatch.setattr(trainer, "training_batches", spied)
    before = state(copy)
    with pytest.raises(UserError, match="diverged: 10 steps in a row"):
        trainer.train(copy, tiny.override(steps=50))
    (folder,) = (copy.folder / "not_finite").iterdir()
    about = json.loads((folder / "about.json").read_text())
    assert list(about["pictures"].values()) == taken[:10]
    left = safetensors.numpy.load_file(folder / "state.safetensors")
    assert_same(left, before)


# === Which run ===


def test_a_new_run_takes_a_preset_and_flags(tmp_path):
    run, config = trainer.resolve("cub", "small", tmp_path / "new", False, data_dir="birds", steps=7, seed=None)
    assert run.folder == tmp_path / "new" and not run.folder.exists()
    # Pretraining is no longer than the training after it.
    assert config == preset("small", "cub").override(data_dir="birds", steps=7, pretraining_steps=7)
    # Nothing to resume yet: it begins.
    assert trainer.resolve("cub", "small", tmp_path / "new", True)[1] == preset("small", "cub")


def test_a_run_that_ended_in_its_pretraining_names_no_file_that_is_not_there(tmp_path):
    outcome = trainer.Outcome(Run(tmp_path), 0, signal.SIGINT, False)
    text = trainer.summary(outcome, preset("small", "cub"))
    assert "during the pretraining, stopped by SIGINT" in text and "--resume" in text
    assert "samples" not in text and "sample.py" not in text


def test_a_run_without_a_name_is_named_after_data_set_and_time():
    run, _ = trainer.resolve("synthbirds", "small", None, False)
    assert run.folder.parent == pathlib.Path("runs") and run.folder.name.startswith("synthbirds-")


def test_a_folder_in_use_is_refused(straight, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("")
    for folder, resume in ((straight[1].folder, False), (tmp_path / "file", False), (tmp_path / "used", True)):
        with pytest.raises(UserError, match=f"not empty. Received: {folder}. Choose"):
            trainer.resolve("folder", "small", folder, resume)


def test_an_empty_folder_and_one_in_which_preparing_was_broken_off_may_be_used(tmp_path):
    (tmp_path / "data").mkdir()
    for _ in range(2):
        assert trainer.resolve("cub", "small", tmp_path, False)[0].folder == tmp_path
        (tmp_path / "data" / "unfinished.json").write_text("{}")


def test_a_run_that_goes_on_keeps_its_settings(straight, tiny):
    folder = straight[1].folder
    _, config = trainer.resolve("folder", None, folder, True, steps=50, data_dir="elsewhere")
    assert config == tiny.override(steps=50, data_dir="elsewhere")
    with pytest.raises(UserError, match="keeps its settings. Received: --preset=small. Leave it out"):
        trainer.resolve("folder", "small", folder, True)


@pytest.mark.parametrize("flags", [{"base_filters": 2}, {"image_size": 16}, {"seed": 6}])
def test_a_run_does_not_go_on_as_another_one(straight, flags):
    ((name, value),) = flags.items()
    was = {"base_filters": 1, "image_size": 8, "seed": 5}[name]
    with pytest.raises(UserError, match=f"other settings. Received: .*: {name}={value}, was {was}. Leave"):
        trainer.resolve("folder", None, straight[1].folder, True, **flags)
    with pytest.raises(UserError, match="dataset='cub', was 'folder'"):
        trainer.resolve("cub", None, straight[1].folder, True)


def test_resuming_needs_a_folder():
    with pytest.raises(UserError, match="--resume without --out"):
        trainer.resolve("folder", None, None, True)


def test_a_damaged_configuration_is_told(copy):
    (copy.folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="fields are not as expected. Received: .*config.json"):
        trainer.resolve("folder", None, copy.folder, True)


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
            trainer.open_data(config, run)
    assert not run.folder.exists()


def test_prepared_data_is_taken_as_it_is(straight, tiny, tmp_path):
    folder = straight[1].folder / "data"
    data = trainer.open_data(tiny.override(data_dir=str(folder)), Run(tmp_path / "new"))
    assert data.folder == folder


@pytest.fixture
def shard(copy):
    return next((copy.folder / "data").glob("train-*.tfrecord"))


def test_a_truncated_shard_is_told_before_training(copy, tiny, shard, tmp_path):
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"Shards are damaged or missing.*Received: {shard.name}") as refused:
        trainer.train(Run(tmp_path / "new"), tiny.override(data_dir=str(copy.folder / "data")))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_damage_inside_a_shard_is_told_in_one_line(copy, tiny, shard, tmp_path, monkeypatch):
    monkeypatch.setattr(SSAGAN, "train_step", lambda model, batch: {"loss": tf.reduce_sum(batch["image"])})
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(data)
    with pytest.raises(UserError, match="prepared data is damaged. Received: .*Run prepare_data.py") as refused:
        trainer.train(Run(tmp_path / "new"), tiny.override(data_dir=str(copy.folder / "data")))
    assert "\n" not in str(refused.value)


def test_a_wrong_folder_is_told_in_one_line(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        for dataset in ("cub", "coco", "folder"):
            with pytest.raises(UserError, match="Received: ") as refused:
                trainer.train(Run(tmp_path / "new"), tiny.override(dataset=dataset, data_dir=str(tmp_path / name)))
            assert "\n" not in str(refused.value)
    assert not (tmp_path / "new" / "config.json").exists()


# === The script ===


def command(*flags: str) -> list[str]:
    return [sys.executable, "-W", "error:::ssagan_tf", str(SCRIPT), *flags]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def script(*flags: str, cwd: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*flags), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )


def started(run: Run, tmp_path: pathlib.Path, steps: int) -> subprocess.Popen:
    """The script, going on with a run; returns once it has written a checkpoint."""
    before = set(run.checkpoints.iterdir())
    with open(tmp_path / "shown.txt", "w") as shown:
        flags = ["--dataset=folder", f"--out={run.folder}", "--resume", f"--steps={steps}", "--checkpoint_every=2"]
        process = subprocess.Popen(command(*flags), cwd=tmp_path, env=environment(), stdout=shown, stderr=shown)
    deadline = time.monotonic() + 240
    while not set(run.checkpoints.glob("step-*")) - before:
        assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "shown.txt").read_text()
        time.sleep(0.05)
    return process


def test_help_is_quick_and_from_any_folder(tmp_path):
    began = time.monotonic()
    done = script("--help", cwd=tmp_path)
    assert done.returncode == 0 and "--dataset" in done.stdout and "--resume" in done.stdout
    assert "tensorflow" not in done.stderr.lower()
    assert time.monotonic() - began < 20  # a second or two where nothing else runs; TensorFlow alone takes longer


def test_wrong_flags_are_status_2(tmp_path):
    done = script("--dataset=mars", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    flags = ["--dataset=folder", f"--data_dir={pictures}", "--preset=small", f"--out={tmp_path / 'file' / 'run'}"]
    done = script(*flags, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Received: " in errors[0] and "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_ctrl_c_saves_and_exits_with_130(copy, tmp_path):
    process = started(copy, tmp_path, steps=10**6)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=240) == 130, (tmp_path / "shown.txt").read_text()
    shown = (tmp_path / "shown.txt").read_text()
    assert "stopped by SIGINT" in shown and "Traceback" not in shown
    step = checkpoint.newest(copy.checkpoints).step
    assert f"{step:,} of 1,000,000 iterations" in shown
    assert (copy.samples / f"samples-{step:08d}.png").is_file()


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(copy, tiny, tmp_path):
    process = started(copy, tmp_path, steps=10**6)
    process.kill()
    process.wait()
    steps = checkpoint.newest(copy.checkpoints).step + 4
    done = script("--dataset=folder", f"--out={copy.folder}", "--resume", f"--steps={steps}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole = Run(tmp_path / "whole")
    trainer.train(whole, tiny.override(steps=steps))
    assert_same(state(copy), state(whole))


@pytest.mark.slow
def test_joint_training_with_pretraining_goes_on_the_same_after_a_break(tiny, tmp_path):
    model = dataclasses.replace(tiny.model, image_encoder="compact", text_training="damsm")
    config = dataclasses.replace(tiny, model=model).override(
        image_size=16, pretraining_steps=2, pretraining_batch_size=3, steps=4
    )
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    trainer.train(whole, config)
    trainer.train(broken, config.override(steps=2))
    trainer.train(broken, config)
    assert_same(state(broken), state(whole))
    assert any(name.startswith("image_encoder/") for name in state(whole))
