"""A run goes on from its own checkpoints alone; what may change is told."""

import dataclasses
import logging
import pathlib

import pytest

from ssagan_tf import UserError, Vocabulary
from ssagan_tf.config import Config
from ssagan_tf.data.records import Prepared
from ssagan_tf.training.checkpoint import Checkpoint
from ssagan_tf.training.resume import check_origin, check_same_run, origin
from ssagan_tf.training.run import Run

RUN = Run("runs/one")
CONFIG = Config()
WORDS = Vocabulary.build(["a red bird"])
DATA = Prepared(pathlib.Path("data"), "cub", 256, 304, "f" * 64, ())


def found(**note) -> Checkpoint:
    kept = {**origin(CONFIG, WORDS, DATA, 1), "pictures": 48, **note}
    kept = {name: value for name, value in kept.items() if value != "left out"}
    return Checkpoint(pathlib.Path("checkpoints/step-2"), 2, {}, kept)


def test_the_same_run_goes_on_without_a_word(caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        check_origin(found(), origin(CONFIG, WORDS, DATA, 1), RUN)
    assert not caplog.records


def test_other_devices_are_told_and_another_batch_size_is_fine(caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        check_origin(found(), origin(CONFIG.override(batch_size=8, steps=7), WORDS, DATA, 2), RUN)
    assert [record.getMessage() for record in caplog.records] == [
        "Going on with 2 devices, was 1.",
    ]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ((CONFIG.override(base_filters=8, seed=3), WORDS, DATA, 1), "base_filters=8, was 64; seed=3, was 0"),
        ((CONFIG.override(dataset="coco"), WORDS, DATA, 1), "dataset='coco', was 'cub'"),
        # As many words, so that the weights would fit.
        ((CONFIG, Vocabulary.build(["a red fish"]), DATA, 1), "other words"),
        ((CONFIG, WORDS, dataclasses.replace(DATA, fingerprint="0" * 64), 1), "other pictures or captions"),
    ],
)
def test_another_run_is_refused_with_what_differs(now, told):
    with pytest.raises(UserError, match=told) as refused:
        check_origin(found(), origin(*now), RUN)
    assert "Received: " in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["pictures", "vocabulary", "data", "devices"])
def test_what_a_checkpoint_lacks_is_named(name):
    with pytest.raises(UserError, match=f"not complete. Received: .*step-2 without {name}. Remove"):
        check_origin(found(**{name: "left out"}), origin(CONFIG, WORDS, DATA, 1), RUN)


def test_fields_of_one_name_in_two_parts_cannot_hide_each_other():
    names = [field.name for part in (CONFIG.model, CONFIG.data, CONFIG.train) for field in dataclasses.fields(part)]
    assert len(names) == len(set(names))


def test_what_may_change_does_not_matter():
    other = CONFIG.override(data_dir="elsewhere", keep=9, max_minutes=3.0, gradient_checkpointing=True)
    check_same_run(CONFIG, other, RUN)
