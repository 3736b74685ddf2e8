"""The precision "auto": that of the run, or the faster one of a trial on processors that have the instructions."""

import time

import pytest
import tensorflow as tf

from ssagan_tf.config import preset
from ssagan_tf.core import hardware
from ssagan_tf.training import auto_precision, resume
from ssagan_tf.training.run import Run

AUTO = preset("tiny", "synthbirds").override(precision="auto")


def chosen(run: Run) -> str:
    config = auto_precision.with_precision(AUTO, run)
    assert config == AUTO.override(precision=config.train.precision)
    return config.train.precision


@pytest.fixture
def seconds(monkeypatch):
    """What a pass takes, by precision, on a processor that has the instructions."""
    seconds = {"float32": 0.01, "mixed_bfloat16": 0.002}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    monkeypatch.setattr(hardware, "has_instructions", lambda name: name == "mixed_bfloat16")
    monkeypatch.setattr(auto_precision, "_pass", lambda config, name: lambda: time.sleep(seconds[name]))
    return seconds


def test_it_is_the_one_that_a_trial_shows_to_be_faster(seconds, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    assert chosen(Run(tmp_path)) == "mixed_bfloat16"
    assert "Training in mixed_bfloat16: mixed_bfloat16 took 0." in caplog.text
    seconds["mixed_bfloat16"] = 0.01
    assert chosen(Run(tmp_path)) == "float32"


def test_without_instructions_or_with_a_gpu_it_is_float32_without_a_trial(seconds, tmp_path, monkeypatch):
    monkeypatch.setattr(auto_precision, "_pass", None)
    with monkeypatch.context() as patch:
        patch.setattr(hardware, "has_instructions", lambda name: False)
        assert chosen(Run(tmp_path)) == "float32"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    assert chosen(Run(tmp_path)) == "float32"


@pytest.mark.parametrize("began_with", ["float32", "mixed_bfloat16"])
def test_a_run_keeps_what_it_began_with(seconds, tmp_path, monkeypatch, began_with):
    monkeypatch.setattr(auto_precision, "_pass", None)
    run = Run(tmp_path)
    AUTO.override(precision=began_with).save(run.folder / "config.json")
    assert chosen(run) == began_with
    assert resume.resolve(tmp_path, True, precision="auto")[1].train.precision == began_with


def test_another_precision_than_auto_is_left_alone(tmp_path):
    config = AUTO.override(precision="mixed_float16")
    assert auto_precision.with_precision(config, Run(tmp_path)) is config


def test_the_trial_is_of_convolutions_there_and_back_in_that_precision():
    for name in ("float32", "mixed_bfloat16"):
        auto_precision._pass(AUTO, name)()
    assert auto_precision._gain(lambda: time.sleep(0.02), lambda: time.sleep(0.001)) > 5


def test_several_devices_whose_trials_might_disagree_take_float32_without_one(seconds, tmp_path, monkeypatch):
    monkeypatch.setattr(auto_precision, "_pass", None)
    assert auto_precision.with_precision(AUTO, Run(tmp_path), devices=2).train.precision == "float32"


def test_no_preset_takes_it_by_itself():
    names = {name: preset(name, "synthbirds").train.precision for name in ("tiny", "small", "paper")}
    assert names == {"tiny": "float32", "small": "float32", "paper": "float32"}
