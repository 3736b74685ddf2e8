"""Held-out pictures as training goes on: the checkpoint that matches best, and the end when D knows all by heart."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.config import preset
from ssagan_tf.data.folder import Folder
from ssagan_tf.evaluation.overfitting import Memory
from ssagan_tf.training import checkpoint, early_choice
from ssagan_tf.training.early_choice import MEMORISED, PATIENCE, EarlyChoice
from ssagan_tf.training.run import Run, load_model

KNOWN, NOT, FLAT = Memory(2.0, -0.9, -1.0), Memory(2.0, 1.5, -1.0), Memory(0.1, -0.1, -0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """So many captions that ninety-nine others are there for each held-out picture."""
    folder = tmp_path_factory.mktemp("many")
    random, rows = np.random.default_rng(0), []
    for number in range(250):
        Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8)).save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "captions": [f"bird {number} view {view}" for view in range(10)]})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Folder(folder)


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
def choice(tmp_path, data, config, model):
    def make(step=2, **changes):
        run = Run(tmp_path / "run")
        run.folder.mkdir(exist_ok=True)
        progress = types.SimpleNamespace(step=step, pictures=16 * step)
        made = EarlyChoice(run, model, data, progress, config.override(**changes).train, None)
        made.set_model(model)
        model.stop_training = False
        return made, run

    return make


def lines(run):
    return [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]


def test_what_held_out_pictures_say_is_logged_and_drawn_as_curves(choice):
    made, run = choice()
    values = made.look()
    made.on_train_end()
    assert set(values) == {"logit_train", "logit_test", "logit_drawn", "logit_gap", "memorised", "r_precision"}
    assert values["logit_gap"] == pytest.approx(values["logit_train"] - values["logit_test"])
    assert 0 <= values["r_precision"] <= 1 and 0 <= values["memorised"] <= 1
    assert lines(run) == [{"step": 2, "pictures": 32, **values}]
    found = set()
    for path in run.tensorboard.iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            found |= {value.tag for value in event.summary.value}
    assert found == {f"choice/{name}" for name in values}


def test_it_is_asked_every_so_many_iterations(choice, monkeypatch):
    made, _ = choice()
    asked = []
    monkeypatch.setattr(made, "look", lambda: asked.append(made._progress.step))
    for step in range(1, 7):
        made._progress.step = step
        made.on_train_batch_end(0)
    assert asked == [2, 4, 6]


def test_pictures_that_show_their_captions_find_them(choice, model, monkeypatch):
    made, _ = choice()
    held = made._held
    sentences = model.encode([held.texts[index] for index in held.own])
    codes = iter([sentences])
    monkeypatch.setattr(made._damsm, "image_encoder", lambda image, training: (None, tf.constant(next(codes))))
    assert len(held.own) <= early_choice._TOGETHER
    assert made._match() == 1.0


def test_the_checkpoint_that_matches_best_is_kept_and_found(choice, monkeypatch):
    made, run = choice()
    matches = iter([0.2, 0.1, 0.3, 0.25])
    monkeypatch.setattr(made, "_match", lambda: next(matches))
    monkeypatch.setattr(made, "_memory", lambda: NOT)
    for step, kept in ((2, 2), (4, 2), (6, 6)):
        made._progress.step = step
        made.look()
        found = checkpoint.newest(run.best_match)
        assert found.step == kept and len(list(run.best_match.iterdir())) == 1
    assert (found.note["metric"], found.note["value"]) == ("r_precision", 0.3)
    again, _ = choice(8)
    monkeypatch.setattr(again, "_match", lambda: next(matches))
    monkeypatch.setattr(again, "_memory", lambda: NOT)
    again.look()
    assert checkpoint.newest(run.best_match).step == 6
    with pytest.raises(UserError, match="No model found"):
        load_model(run.folder, best="match")


@pytest.mark.parametrize(
    "seen, ends", [([KNOWN] * PATIENCE, True), ([KNOWN, KNOWN, NOT, KNOWN, KNOWN], False), ([FLAT] * 5, False)]
)
def test_training_ends_when_the_discriminator_knows_its_pictures_by_heart(choice, monkeypatch, caplog, seen, ends):
    assert KNOWN.memorised > MEMORISED and FLAT.memorised > MEMORISED  # but its gap is nothing
    made, run = choice()
    memories = iter(seen)
    monkeypatch.setattr(made, "_match", lambda: None)
    monkeypatch.setattr(made, "_memory", lambda: next(memories))
    for _ in seen:
        assert not made.memorised
        made.look()
    assert made.memorised == made.model.stop_training == ends
    told = "mean logit is 2.00 for them, -0.90 for pictures it has not seen and -1.00 for drawn ones"
    assert (told in caplog.text) == ends
    assert any("warning" in line for line in lines(run)) == ends


def test_it_may_be_told_to_go_on(choice, monkeypatch, caplog):
    made, _ = choice(stop_memorised=False)
    monkeypatch.setattr(made, "_match", lambda: None)
    monkeypatch.setattr(made, "_memory", lambda: KNOWN)
    for _ in range(2 * PATIENCE):
        made.look()
    assert not made.memorised and not made.model.stop_training
    assert caplog.text.count("by heart") == 2
