"""DAMSM as a run of its own: what it leaves behind, which weights it keeps, and going on as if never stopped."""

import dataclasses
import json
import signal

import numpy as np
import pytest

from ssagan_tf.config import preset
from ssagan_tf.damsm import load_damsm
from ssagan_tf.evaluation.retrieval import Precision
from ssagan_tf.training import checkpoint
from ssagan_tf.training.pretraining import pretrain
from ssagan_tf.training.run import Run
from ssagan_tf.weights import tensor_files

# === Which run ===


def test_a_new_run_takes_a_preset_and_flags_and_its_own_length(tmp_path):
    run, config = pretrain.resolve(tmp_path / "new", False, "small", dataset="cub", pretraining_steps=7)
    assert run.folder == tmp_path / "new"
    assert config == preset("small", "cub").override(pretraining_steps=7)
    _, longer = pretrain.resolve(tmp_path / "new", False, "small", dataset="synthbirds")
    assert longer.train.pretraining_steps > preset("small", "synthbirds").train.pretraining_steps
    assert (
        pretrain.resolve(None, False, "small", dataset="synthbirds", pretraining_steps=9)[1].train.pretraining_steps
        == 9
    )


def test_the_published_pretraining_is_the_published_one(tmp_path):
    for dataset, words, epoch in (("cub", 18, 8855 // 48), ("coco", 15, 82_783 // 48)):
        _, config = pretrain.resolve(tmp_path / "new", False, "paper", dataset=dataset)
        train = config.train
        assert config.model.max_words == words and config.model.image_encoder == "inception"
        assert (train.pretraining_batch_size, train.pretraining_rate) == (48, 2e-3)
        assert (train.pretraining_schedule, train.pretraining_gamma3, train.pretraining_word_group) == (
            "published",
            10.0,
            0,
        )
        assert train.pretraining_steps == 600 * epoch


def test_a_run_without_a_name_is_named_after_what_it_is():
    run, _ = pretrain.resolve(None, False, "small", dataset="synthbirds")
    assert run.folder.parent.name == "runs" and run.folder.name.startswith("damsm-synthbirds-")


def test_the_summary_says_what_came_out_and_what_to_run_next(tmp_path):
    config = preset("small", "cub").override(pretraining_steps=10)
    words = pretrain.summary(pretrain.Outcome(Run(tmp_path), 10, None, False, "R@1: much"), config)
    assert "10 of 10 iterations" in words and "R@1: much" in words and f"--damsm={tmp_path}" in words
    assert "--resume" not in words
    stopped = pretrain.summary(pretrain.Outcome(Run(tmp_path), 4, signal.SIGTERM, False, ""), config)
    assert "4 of 10 iterations done, stopped by SIGTERM" in stopped and "--resume" in stopped


# === Which weights are kept ===


class Encoders:
    """In the place of a DAMSM: one weight, told from the others by its value."""

    def __init__(self):
        self.value = 0.0

    def encoder_variables(self):
        return {"text_encoder/weight": self}

    def numpy(self):
        return np.array([self.value], "float32")


class Held:
    def enough(self, mismatched):
        return True


@pytest.fixture
def validated(tmp_path, monkeypatch):
    """`validated(scores)`: what is kept after validations with these scores, the weights being 1, 2, 3, ..."""
    (tmp_path / "run").mkdir()
    run, damsm = Run(tmp_path / "run"), Encoders()
    progress = type("Counter", (), {"step": 0})()
    monkeypatch.setattr(pretrain, "attention_sheet", lambda *_: np.zeros((4, 4, 3), np.uint8))

    def validate(scores, held=True):
        validation = pretrain.Validation(run, damsm, Held() if held else None, None, None, progress, epoch=2)
        for score in scores:
            monkeypatch.setattr(pretrain, "retrieval", lambda *_, score=score, **__: Precision(score, 0.0))
            for _ in range(2):
                progress.step += 1
                damsm.value = progress.step / 2
                validation.on_train_batch_end(0)
        validation.on_train_end()
        return tensor_files.read_state(run.folder / "damsm.safetensors")["text_encoder/weight"]

    return run, validate


def test_the_weights_that_did_best_are_kept_with_a_sheet_and_all_scores_are_logged(validated):
    run, validate = validated
    assert validate([0.2, 0.5, 0.4]) == 2
    log = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert log == [{"step": 2, "retrieval": 0.2}, {"step": 4, "retrieval": 0.5}, {"step": 6, "retrieval": 0.4}]
    assert {path.name for path in run.samples.iterdir()} == {"attention-00000002.png", "attention-00000004.png"}


def test_a_run_that_goes_on_knows_the_best_so_far(validated):
    _, validate = validated
    assert validate([0.5]) == 1
    assert validate([0.4]) == 1
    assert validate([0.6]) == 3


def test_without_held_out_pictures_the_newest_weights_are_kept(validated):
    run, validate = validated
    assert validate([0.5, 0.4], held=False) == 2
    assert not (run.folder / "log.jsonl").exists()


# === Whole runs ===


@pytest.mark.slow
def test_a_run_goes_on_the_same_after_a_break_and_leaves_a_folder_of_damsm(tiny, tmp_path):
    model = dataclasses.replace(tiny.model, image_encoder="compact", image_size=16)
    config = dataclasses.replace(tiny, model=model).override(pretraining_steps=6, pretraining_batch_size=3)
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    outcome = pretrain.pretrain(whole, config)
    assert (outcome.step, outcome.signal, outcome.time_is_up) == (6, None, False)
    assert "too few held-out captions" in outcome.report
    stopped = pretrain.pretrain(broken, config.override(max_minutes=1e-9))
    assert stopped.time_is_up and stopped.step == 1
    assert pretrain.pretrain(broken, config).step == 6
    one, other = (checkpoint.newest(run.pretraining).state for run in (whole, broken))
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    damsm, vocabulary, settings = load_damsm(broken.folder)
    assert settings == config and len(vocabulary) == damsm.text_encoder.vocabulary_size
    again = pretrain.pretrain(whole, config)
    assert again.step == 6 and "Nothing was left to do" in again.report


@pytest.mark.slow
def test_the_published_encoders_train_their_heads_alone(tiny, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr("ssagan_tf.training.pretraining.fit_damsm._take_imagenet_weights", taken.append)
    model = dataclasses.replace(tiny.model, image_encoder="inception", image_size=32)
    config = dataclasses.replace(tiny, model=model).override(pretraining_steps=2, pretraining_batch_size=2)
    run = Run(tmp_path / "run")
    assert pretrain.pretrain(run, config).step == 2
    (encoder,) = taken  # weights come from elsewhere, once
    trained = {variable.path.split("/", 1)[-1] for variable in encoder.trainable_variables}
    assert trained == {"region_head/kernel", "code_head/kernel", "code_head/bias"}
    assert load_damsm(run.folder)[0].image_encoder.embedding_dim == 6
