"""A few hundred inputs of each fuzzing target; `make fuzz` tries a hundred thousand."""

import random

import fuzz_targets
import pytest
from mutation import mutated

from ssagan_tf import UserError
from ssagan_tf.data import decoding

INPUTS = {"records": 60, "captions": 200}  # slower ones
USUAL = 400


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", decoding.MAX_PIXELS)


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_good_inputs_are_taken(name):
    target = fuzz_targets.TARGETS[name]
    taken = 0
    for seed in target.seeds():
        try:
            target.take(seed)
            taken += 1
        except UserError:
            pass
    assert taken >= (1 if name == "answers" else len(target.seeds()) - 1)


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_any_input_is_taken_or_refused(name):
    target, dice = fuzz_targets.TARGETS[name], random.Random(2)
    seeds = target.seeds()
    for _ in range(INPUTS.get(name, USUAL)):
        data = mutated(seeds, dice)
        try:
            target.take(data)
        except UserError as error:
            assert "\n" not in str(error), data
        except Exception as error:
            raise AssertionError(f"{name} was given {data!r}") from error
    if name == "captions":
        fuzz_targets.compare_in_graph()
