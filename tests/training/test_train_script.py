"""`train.py` in a process of its own: its flags, and how it ends."""

import contextlib
import pathlib
import signal
import sys
import time

import in_process
import processes
import pytest
from processes import ROOT
from states import assert_same, state

from ssagan_tf.training import checkpoint, train
from ssagan_tf.training.run import Run

SCRIPT = ROOT / "scripts" / "train.py"


def command(*flags: str) -> list[str]:
    return [sys.executable, "-W", "error:::ssagan_tf", str(SCRIPT), *flags]


@contextlib.contextmanager
def started(run: Run, tmp_path: pathlib.Path, steps: int):
    """The script, going on with a run, once it has written a checkpoint."""
    before = set(run.checkpoints.iterdir())
    flags = ["--dataset=folder", f"--out={run.folder}", "--resume", f"--steps={steps}", "--checkpoint_every=2"]
    with (
        open(tmp_path / "shown.txt", "w") as shown,
        processes.started(*command(*flags), cwd=tmp_path, stdout=shown, stderr=shown) as process,
    ):
        while not set(run.checkpoints.glob("step-*")) - before:
            assert process.poll() is None, (tmp_path / "shown.txt").read_text()
            time.sleep(0.05)
        yield process


def test_wrong_flags_are_status_2(tmp_path):
    assert in_process.run("train", "--dataset=mars", cwd=tmp_path).returncode == 2


def test_no_training_is_announced_without_its_data(tmp_path):
    done = in_process.run("train", "--dataset=folder", "--data_dir=nowhere", "--preset=small", cwd=tmp_path)
    assert done.returncode == 1 and "nowhere" in done.stderr
    assert "Training on" not in done.stdout + done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    flags = ["--dataset=folder", f"--data_dir={pictures}", "--preset=small", f"--out={tmp_path / 'file' / 'run'}"]
    done = in_process.run("train", *flags, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Received: " in errors[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_ctrl_c_saves_and_exits_with_130(copy, tmp_path):
    with started(copy, tmp_path, steps=10**6) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130, (tmp_path / "shown.txt").read_text()
    shown = (tmp_path / "shown.txt").read_text()
    assert "stopped by SIGINT" in shown and "Traceback" not in shown
    step = checkpoint.newest(copy.checkpoints).step
    assert f"{step:,} of 1,000,000 iterations" in shown
    assert (copy.samples / f"samples-{step:08d}.png").is_file()


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(copy, tiny, tmp_path):
    with started(copy, tmp_path, steps=10**6):
        pass  # kills it
    steps = checkpoint.newest(copy.checkpoints).step + 4
    flags = ["--dataset=folder", f"--out={copy.folder}", "--resume", f"--steps={steps}"]
    done = processes.run(*command(*flags), cwd=tmp_path, check=True)
    assert f"Training on folder at 8 pixels into {copy.folder}." in done.stderr
    whole = Run(tmp_path / "whole")
    train.train(whole, tiny.override(steps=steps))
    assert_same(state(copy), state(whole))
