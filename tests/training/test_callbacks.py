"""Callbacks alone: the average, the log, and stopping in good order."""

import json
import os
import signal
import types

import numpy as np
import pytest
from PIL import Image

from ssagan_tf import UserError
from ssagan_tf.training import checkpoint
from ssagan_tf.training.callbacks import (
    AverageGenerator,
    Checkpoints,
    Progress,
    SampleSheets,
    StopGently,
)
from ssagan_tf.training.collapse import CONSTANT, ConstantLosses
from ssagan_tf.training.fitting import GraphWait
from ssagan_tf.training.run import Run

LOGS = {"discriminator_loss": 2.0, "generator_loss": -1.0, "damsm_fake": 0.0}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    return Run(tmp_path / "run")


def lines(run):
    return [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]


# === The average ===


def test_the_average_has_the_half_life_that_was_asked_for(tiny_model):
    model = tiny_model()
    callback = AverageGenerator(model, half_life=6, batch_size=2)
    gate, averaged = model.generator.blocks[0].gate, callback.average.blocks[0].gate
    assert averaged.numpy() == 0
    gate.assign(1.0)
    seen = []
    for batch in range(9):
        callback.on_train_batch_end(batch)
        seen.append(float(averaged.numpy()))
    # 3 iterations are 6 pictures: what is missing to 1 halves.
    np.testing.assert_allclose(seen, 1 - 0.5 ** (np.arange(1, 10) / 3), rtol=1e-5)


def test_a_skipped_step_does_not_move_the_average(tiny_model):
    model = tiny_model()
    callback = AverageGenerator(model, half_life=6, batch_size=2)
    model.generator.blocks[0].gate.assign(1.0)
    callback.on_train_batch_end(0, {"generator_loss": float("nan"), "discriminator_loss": 1.0})
    assert callback.average.blocks[0].gate.numpy() == 0
    callback.on_train_batch_end(1, {"generator_loss": 0.5, "discriminator_loss": 1.0})
    assert callback.average.blocks[0].gate.numpy() > 0


def test_the_average_starts_as_the_generator_and_follows_all_of_it(tiny_model, randomize):
    model = tiny_model()
    randomize(model.generator)
    callback = AverageGenerator(model, half_life=10, batch_size=10)
    before = [variable.numpy() for variable in model.generator.variables]
    randomize(model.generator, seed=1)
    model.generator.norm.batches.assign(8)
    callback.on_train_batch_end(0)
    for old, new, average in zip(before, model.generator.variables, callback.average.variables, strict=True):
        if average.path.endswith("/batches"):  # a counter has no average
            np.testing.assert_array_equal(average.numpy(), new.numpy())
        else:
            np.testing.assert_allclose(average.numpy(), (old + new.numpy()) / 2, rtol=1e-5, atol=1e-6)


# === The log ===


def test_means_of_ten_iterations_are_logged_and_the_rest_at_the_end(run):
    progress = Progress(run, first_step=100, steps=200, batch_size=4)
    progress.on_train_begin()
    for batch in range(13):
        progress.on_train_batch_end(batch, LOGS | {"discriminator_loss": float(batch)})
    assert progress.step == 113
    progress.on_train_end()
    ten, three = lines(run)
    assert (ten["step"], ten["pictures"], ten["discriminator_loss"]) == (110, 440, 4.5)
    assert (three["step"], three["pictures"], three["discriminator_loss"]) == (113, 452, 11.0)
    assert 0 <= ten["seconds"] <= three["seconds"]
    assert any("tfevents" in path.name for path in run.tensorboard.iterdir())


def test_the_newest_losses_are_shown_but_no_damsm_where_there_is_none(run, capsys):
    progress = Progress(run, first_step=100, steps=104, batch_size=4)
    progress.on_train_begin()
    for batch in range(4):
        progress.on_train_batch_end(batch, LOGS | {"generator_loss": float(batch)})
    shown = capsys.readouterr().out
    assert (
        "104/104" in shown
        and "pictures/s" in shown
        and "discriminator_loss 2" in shown
        and "generator_loss 3" in shown
        and "damsm" not in shown
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_training_in_one_line(run, value):
    progress = Progress(run, 7, 10, 4)
    with pytest.raises(UserError, match="diverged. Received: generator_loss not finite at step 8. Go on") as refused:
        progress.on_train_batch_end(0, LOGS | {"generator_loss": value})
    assert "\n" not in str(refused.value)


def test_a_log_that_cannot_be_written_is_told_in_one_line(run):
    (run.folder / "log.jsonl").mkdir()
    with pytest.raises(UserError, match="Could not write. Received: .*log.jsonl"):
        run.log({"step": 1})


@pytest.mark.parametrize("moves, told", [(0, True), (1e-9, False)])
def test_a_loss_that_is_exactly_constant_is_an_alarm(run, caplog, moves, told):
    progress = types.SimpleNamespace(step=0)
    watch = ConstantLosses(run, progress, {"damsm_loss": "look at the labels"})
    with caplog.at_level("WARNING", logger="absl"):
        for step in range(1, 3 * CONSTANT):
            progress.step = step
            watch.on_train_batch_end(step, {"damsm_loss": moves * step, "found": 0.0})
    expected = "damsm_loss is exactly 0 for 100 iterations: nothing is learned from it."
    texts = [record.getMessage() for record in caplog.records]
    assert texts == [f"After iteration 100 {expected} Try this: look at the labels."] * told
    assert not told or lines(run) == [{"step": 100, "warning": expected}]


def test_the_wait_for_a_graph_is_announced_with_the_time_of_last_time(run, caplog):
    with caplog.at_level("INFO", logger="absl"):
        for batches in (2, 1):
            wait = GraphWait(run)
            wait.set_model(Model())
            wait.on_train_begin()
            for batch in range(batches):
                wait.on_train_batch_end(batch)
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "Building the graph of a training step (Model): it may take a minute or two."
    assert second == "Building the graph of a training step (Model): last time it took 0 s."
    assert [list(line) for line in lines(run)] == [["step", "Model_graph_seconds"]] * 2


# === The run folder ===


def test_all_events_of_a_run_are_in_one_file(run):
    progress = Progress(run, 0, 10, 4)
    progress.on_train_begin()
    progress.on_train_batch_end(0, LOGS)
    with run.events.as_default(1):
        pass
    progress.on_train_end()
    assert len(list(run.tensorboard.iterdir())) == 1


def test_a_value_is_found_in_a_log_that_a_kill_has_cut_off(run):
    assert run.last_logged("a") is None
    (run.folder / "log.jsonl").write_text('{"step": 1, "a": 2}\n{"step": 2, "a": 3}\n{"step": 3}\n{"st')
    assert (run.last_logged("a"), run.last_logged("b")) == (3, None)


# === Stopping ===


class Model:
    stop_training = False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_iteration_and_a_second_one_at_once(number):
    before = signal.getsignal(number)
    callback = StopGently()
    callback.set_model(Model())
    callback.on_train_begin()
    try:
        callback.on_train_batch_end(0)
        assert not callback.model.stop_training
        os.kill(os.getpid(), number)
        assert callback.signal == number
        assert signal.getsignal(number) == before
        callback.on_train_batch_end(1)
        assert callback.model.stop_training and not callback.time_is_up
    finally:
        callback.on_train_end()
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_time_limits_stop_and_none_does_not():
    for minutes, stopped in ((1e-9, True), (0.0, False), (1000.0, False)):
        callback = StopGently(minutes)
        callback.set_model(Model())
        callback.on_train_begin()
        callback.on_train_batch_end(0)
        callback.on_train_end()
        assert callback.time_is_up == callback.model.stop_training == stopped
        assert callback.signal is None


# === Sheets and checkpoints ===


@pytest.fixture(scope="module")
def model(tiny_model):
    made = tiny_model(random=True)
    made.compile()
    return made


class Counter:
    """In the place of `Progress`."""

    def __init__(self, step: int = 0):
        self.step = step


def drive(callback, progress, model, steps: int):
    callback.set_model(model)
    callback.on_train_begin()
    for batch in range(steps):
        progress.step += 1
        callback.on_train_batch_end(batch)
    callback.on_train_end()


def test_sheets_are_drawn_every_so_often_and_at_the_end(run, model):
    progress = Counter(4)
    drive(SampleSheets(run, ["a red bird", "yellow wings"], progress, 3, None), progress, model, 3)
    names = {path.name for path in run.samples.iterdir()}
    assert names == {f"{kind}-{step:08d}.png" for kind in ("samples", "masks") for step in (6, 7)}
    for name in names:
        with Image.open(run.samples / name) as sheet:
            sheet.load()
            assert min(sheet.size) > 100


def test_sheets_of_the_same_weights_are_the_same(run, model):
    progress = Counter()
    drive(SampleSheets(run, ["a red bird"], progress, 1, None), progress, model, 2)
    one, two = (np.asarray(Image.open(run.samples / f"samples-0000000{step}.png")) for step in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_sheets_show_the_average_where_there_is_one(run, model, randomize):
    average = AverageGenerator(model, 10, 1).average
    randomize(average, seed=5)
    for step, generator in ((1, None), (2, average)):
        progress = Counter(step - 1)
        drive(SampleSheets(run, ["a red bird"], progress, 1, generator), progress, model, 1)
    one, two = (np.asarray(Image.open(run.samples / f"samples-0000000{step}.png")) for step in (1, 2))
    assert (one != two).any()


def checkpoints(run):
    return sorted(int(path.name[5:]) for path in run.checkpoints.iterdir())


def test_checkpoints_are_written_at_the_start_every_so_often_and_at_the_end(run, model):
    progress = Counter()
    drive(
        Checkpoints(run.checkpoints, checkpoint.variables(model, None), progress, every=3, keep=10), progress, model, 7
    )
    assert checkpoints(run) == [0, 3, 6, 7]


def test_a_run_that_goes_on_writes_no_checkpoint_before_its_first_step(run, model):
    progress = Counter(6)
    drive(
        Checkpoints(run.checkpoints, checkpoint.variables(model, None), progress, every=3, keep=2), progress, model, 6
    )
    assert checkpoints(run) == [9, 12]
