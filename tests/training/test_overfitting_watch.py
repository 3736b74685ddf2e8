"""Held-out pictures as training goes on: what they say of overfitting, and the end that it is a reason for."""

import json
import types

import pytest
import tensorflow as tf
from small_data import write_folder

from ssagan_tf import SSAGAN, Vocabulary
from ssagan_tf.config import preset
from ssagan_tf.data.folder import Folder
from ssagan_tf.evaluation.overfitting import Memory
from ssagan_tf.training.overfitting_watch import MEMORISED, PATIENCE, OverfittingWatch
from ssagan_tf.training.run import Run

KNOWN, NOT, FLAT = Memory(2.0, -0.9, -1.0), Memory(2.0, 1.5, -1.0), Memory(0.1, -0.1, -0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    captions = lambda number: [f"bird {number} view {view}" for view in range(2)]  # noqa: E731
    return Folder(write_folder(tmp_path_factory.mktemp("many"), 60, (9, 9), captions))


@pytest.fixture(scope="module")
def config():
    sizes = {"base_filters": 1, "image_size": 8, "sentence_dim": 6}
    return preset("small", "folder").override(**sizes, score_every=2, score_count=40)


@pytest.fixture(scope="module")
def model(data, config):
    every = [caption for split in ("train", "test") for example in data.examples(split) for caption in example.captions]
    made = SSAGAN.from_model_config(config.model, Vocabulary.build(every))
    made.compile()
    return made


@pytest.fixture
def watch(tmp_path, data, config, model):
    def make(step=2, **changes):
        run = Run(tmp_path / "run")
        run.folder.mkdir(exist_ok=True)
        progress = types.SimpleNamespace(step=step, pictures=16 * step)
        made = OverfittingWatch(run, model, data, progress, config.override(**changes).train, None)
        made.set_model(model)
        model.stop_training = False
        return made, run

    return make


def lines(run):
    return [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]


def test_what_held_out_pictures_say_is_logged_and_drawn_as_curves(watch):
    made, run = watch()
    values = made.look()
    made.on_train_end()
    assert set(values) == {"logit_train", "logit_test", "logit_drawn", "logit_gap", "memorised"}
    assert values["logit_gap"] == pytest.approx(values["logit_train"] - values["logit_test"])
    assert 0 <= values["memorised"] <= 1
    assert lines(run) == [{"step": 2, "pictures": 32, **values}]
    found = set()
    for path in run.tensorboard.iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            found |= {value.tag for value in event.summary.value}
    assert found == {f"overfitting/{name}" for name in values}


def test_it_is_asked_every_so_many_iterations(watch, monkeypatch):
    made, _ = watch()
    asked = []
    monkeypatch.setattr(made, "look", lambda: asked.append(made._progress.step))
    for step in range(1, 7):
        made._progress.step = step
        made.on_train_batch_end(0)
    assert asked == [2, 4, 6]


@pytest.mark.parametrize(
    "seen, ends", [([KNOWN] * PATIENCE, True), ([KNOWN, KNOWN, NOT, KNOWN, KNOWN], False), ([FLAT] * 5, False)]
)
def test_training_ends_when_the_discriminator_overfits(watch, monkeypatch, caplog, seen, ends):
    assert KNOWN.memorised > MEMORISED and FLAT.memorised > MEMORISED  # but its gap is nothing
    made, run = watch()
    memories = iter(seen)
    monkeypatch.setattr(made, "_memory", lambda: next(memories))
    for _ in seen:
        assert not made.stopped
        made.look()
    assert made.stopped == made.model.stop_training == ends
    told = "2.00 for training pictures, -0.90 for real pictures it has not seen and -1.00 for generated ones"
    assert (told in caplog.text) == ends
    assert any("warning" in line for line in lines(run)) == ends


def test_it_may_be_told_to_go_on(watch, monkeypatch, caplog):
    made, _ = watch(stop_overfitting=False)
    monkeypatch.setattr(made, "_memory", lambda: KNOWN)
    for _ in range(2 * PATIENCE):
        made.look()
    assert not made.stopped and not made.model.stop_training
    assert caplog.text.count("overfits") == 2
