"""Kills a training with SIGKILL at random moments and goes on with it, over and over: what `make test-kills` runs.

    python tests/training/kills.py            # 30 kills
    python tests/training/kills.py 100 7      # 100, by another seed

A third of the kills come while a checkpoint is being written, a third between two steps, a third at any moment since
the process began. Fails unless every checkpoint that is found is whole, no more is lost than what came after the last
one, and in the end all losses and weights are, bit for bit, those of a training that was never stopped.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Imported once; each training is a fork of this process, which itself never starts TensorFlow.
import tensorflow as tf

from ssagan_tf.config import Config
from ssagan_tf.training import callbacks, checkpoint, train
from ssagan_tf.training.run import Run

CHECKPOINT_EVERY = 3
LONGEST = 3600.0  # seconds that a training may take to come to a moment that was chosen
MOMENTS = ("while a checkpoint was written", "between steps", "at any moment")


def main(kills: int = 30, seed: int = 0) -> None:
    with tempfile.TemporaryDirectory() as place:
        told = survive(pathlib.Path(place), kills, random.Random(seed))
    print(told)


def survive(place: pathlib.Path, kills: int, dice: random.Random) -> str:
    """The report; AssertionError if anything was lost or is different."""
    began = time.monotonic()
    config = _config(place)
    broken, whole = Run(place / "broken"), Run(place / "whole")
    counts = dict.fromkeys(MOMENTS, 0)
    for number in range(kills):
        moment = MOMENTS[number % len(MOMENTS)]
        _kill(broken, config, moment, dice)
        counts[moment] += 1
        print(f"kill {number + 1:>3}, {moment}: {_check(broken)}", flush=True)
    steps = _last_step(broken) + 2 * CHECKPOINT_EVERY + 1
    for process in [_start(run, config.override(steps=steps)) for run in (broken, whole)]:
        _wait(process)
    _compare(broken, whole, steps)
    when = ", ".join(f"{count} {moment}" for moment, count in counts.items())
    seconds = time.monotonic() - began
    return f"{kills} of {kills} kills survived ({when}); {steps} steps, losses and weights equal; {seconds:.0f} s"


def _config(place: pathlib.Path) -> Config:
    """The smallest training in which everything moves: three optimizers, dropout, an average."""
    pictures = place / "pictures"
    pictures.mkdir()
    noise, rows = np.random.default_rng(0), []
    for number in range(12):
        Image.fromarray(noise.integers(0, 256, (12, 14, 3), np.uint8)).save(pictures / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "captions": [f"picture {number}", "noise of many dots"]})
    (pictures / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = Config().override(
        dataset="folder",
        data_dir=str(pictures),
        image_size=8,
        base_filters=1,
        batch_size=2,
        steps=10**6,
        checkpoint_every=CHECKPOINT_EVERY,
        sample_every=10**6,
        keep=2,
        ema_pictures=8,
        seed=5,
        text_training="end_to_end",
    )
    sizes = {"noise_dim": 5, "sentence_dim": 6, "mask_filters": 3, "embedding_dim": 5}
    model = dataclasses.replace(config.model, image_encoder=None, published=True, initial_gate=1.0, **sizes)
    return dataclasses.replace(config, model=model)


# === Processes ===


def _start(run: Run, config: Config) -> int:
    """The id of a process that trains, or goes on training."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        shown = os.open(run.folder.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(shown, 1)
        os.dup2(shown, 2)
        tf.config.experimental.enable_op_determinism()
        callbacks._LOG_EVERY = 1
        train.train(run, config)
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _wait(process: int) -> None:
    _, status = os.waitpid(process, 0)
    assert status == 0, f"a training ended with {status}"


def _kill(run: Run, config: Config, moment: str, dice: random.Random) -> None:
    process = _start(run, config)
    try:
        _wait_for(run, process, moment, dice)
    finally:
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status), "the training ended before it was killed"


def _wait_for(run: Run, process: int, moment: str, dice: random.Random) -> None:
    began = time.monotonic()
    if moment == "at any moment":
        time.sleep(dice.uniform(0, 1.2) * _seconds_to_first_step(run))
    else:
        reached = {MOMENTS[0]: _writing, MOMENTS[1]: _stepping}[moment](run)
        while not next(reached):
            # Left to be waited for; `waitid` with WNOWAIT only looks.
            ended = os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            assert ended is None, run.folder.with_suffix(".txt").read_text()[-2000:]
            assert time.monotonic() - began < LONGEST, f"no such moment in {LONGEST:.0f} seconds"
        _time_of[run.folder] = time.monotonic() - began
        time.sleep(dice.uniform(0, 0.004) if moment == MOMENTS[0] else dice.uniform(0, 0.3))


_time_of: dict[pathlib.Path, float] = {}


def _seconds_to_first_step(run: Run) -> float:
    return _time_of.get(run.folder, 20.0)


def _writing(run: Run) -> Iterator[bool]:
    """Whether a checkpoint is half written, which takes some milliseconds."""
    before = set(run.checkpoints.glob(".step-*"))  # left by earlier kills
    while True:
        time.sleep(0.0005)
        yield not before.issuperset(run.checkpoints.glob(".step-*.partial"))


def _stepping(run: Run) -> Iterator[bool]:
    """Whether a step has been done since."""
    log = run.folder / "log.jsonl"
    # The first thing of all is to forget what was logged beyond the last checkpoint: then it is another file.
    before = log.stat().st_ino if log.exists() else None
    while not log.exists() or log.stat().st_ino == before:
        time.sleep(0.01)
        yield False
    size = log.stat().st_size
    while True:
        time.sleep(0.01)
        yield log.stat().st_size > size or before is None


# === What must hold ===


def _lines(run: Run) -> list[dict]:
    log = run.folder / "log.jsonl"
    found = []
    for line in log.read_text().splitlines() if log.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:  # cut off by the kill
            assert len(found) > 0
    return [line for line in found if "discriminator_loss" in line]


def _last_step(run: Run) -> int:
    found = checkpoint.newest(run.checkpoints)
    return found.step if found else 0


def _check(run: Run) -> str:
    """Every checkpoint is whole, and the newest is not older than it must be."""
    for folder in run.checkpoints.glob("step-*"):
        checkpoint._read(folder)
    done = max((line["step"] for line in _lines(run)), default=0)
    last = _last_step(run)
    assert last >= done - CHECKPOINT_EVERY, f"{done} steps were done, and the newest checkpoint is of {last}"
    return f"{done} steps done, goes on after {last}"


def _compare(broken: Run, whole: Run, steps: int) -> None:
    one, other = (checkpoint.newest(run.checkpoints) for run in (broken, whole))
    assert one.step == other.step == steps and set(one.state) == set(other.state)
    for name, value in one.state.items():
        assert value.tobytes() == other.state[name].tobytes(), f"{name} differs"
    lines = [[line | {"seconds": None} for line in _lines(run)] for run in (broken, whole)]
    assert [line["step"] for line in lines[0]] == list(range(1, steps + 1))
    for one_line, other_line in zip(*lines, strict=True):
        assert one_line == other_line, f"losses differ: {one_line} {other_line}"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
