"""Checkpoints: whole or not there, the newest good one found, good ones never crowded out by damaged ones."""

import json
import logging
import resource

import keras
import numpy as np
import pytest

from ssagan_tf import UserError
from ssagan_tf.training import checkpoint
from ssagan_tf.weights import tensor_files


def variables(value: float) -> dict:
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    for variable in layer.variables:
        variable.assign(np.full(variable.shape, value))
    counter = keras.Variable(7, dtype="int64", name="counter")
    return {"net/kernel": layer.kernel, "net/bias": layer.bias, "counter": counter}


def save(folder, step: int, keep: int = 3):
    checkpoint.save(folder, step, variables(step), keep)


def steps(folder) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in folder.iterdir())


def test_what_was_saved_is_found_as_it_was(tmp_path):
    named = variables(2.5)
    checkpoint.save(tmp_path / "new" / "checkpoints", 12, named, 3)
    found = checkpoint.newest(tmp_path / "new" / "checkpoints")
    assert found.step == 12 and found.folder.name == "step-00000012"
    assert set(found.state) == set(named)
    for name, variable in named.items():
        # Scalars stay scalars.
        assert found.state[name].shape == tuple(variable.shape) and found.state[name].dtype == variable.dtype
        np.testing.assert_array_equal(found.state[name], variable.numpy())
    other = variables(0.0)
    tensor_files.assign_state(other, found.state, "here")
    np.testing.assert_array_equal(other["net/kernel"].numpy(), np.full((2, 3), 2.5))


def test_the_newest_is_found_and_the_newest_few_are_kept(tmp_path):
    for step in (5, 10, 15, 20, 100):
        save(tmp_path, step, keep=2)
    assert steps(tmp_path) == [20, 100]
    assert checkpoint.newest(tmp_path).step == 100


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.newest(tmp_path) is None
    assert checkpoint.newest(tmp_path / "not there") is None


def test_a_kill_while_an_old_one_is_deleted_leaves_no_half_of_it(tmp_path, monkeypatch):
    save(tmp_path, 5, keep=1)

    def broken_off(path, ignore_errors=False):
        if "00000005" in str(path):
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.shutil, "rmtree", broken_off)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 10, keep=1)
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-00000010"]
    monkeypatch.undo()
    save(tmp_path, 15, keep=1)
    assert steps(tmp_path) == [15]


def test_a_step_may_be_saved_again(tmp_path):
    save(tmp_path, 5)
    checkpoint.save(tmp_path, 5, variables(9.0), 3)
    np.testing.assert_array_equal(checkpoint.newest(tmp_path).state["net/bias"], [9.0] * 3)


def cut(folder):
    path = folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def flip(folder):
    path = folder / "state.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "cut": cut,
    "one bit flipped": flip,
    "no weights": lambda folder: (folder / "state.safetensors").unlink(),
    "no note": lambda folder: (folder / "checkpoint.json").unlink(),
    "note cut": lambda folder: (folder / "checkpoint.json").write_text('{"step": 1'),
    "note of another kind": lambda folder: (folder / "checkpoint.json").write_text("[]"),
    "note that is no object": lambda folder: (folder / "checkpoint.json").write_text('"step"'),
    "note of a step without end": lambda folder: (folder / "checkpoint.json").write_text('{"step": 1e999}'),
    "deeply nested note": lambda folder: (folder / "checkpoint.json").write_text("[" * 100_000),
    "another step in the note": lambda folder: (folder / "checkpoint.json").write_text(
        (folder / "checkpoint.json").read_text().replace('"step": 10', '"step": 11')
    ),
    "note without a checksum": lambda folder: (folder / "checkpoint.json").write_text('{"step": 10}'),
    "empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_newest_is_passed_over_with_a_warning_that_names_it(tmp_path, damage, caplog):
    save(tmp_path, 5)
    save(tmp_path, 10)
    damage(tmp_path / "step-00000010")
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert checkpoint.newest(tmp_path).step == 5
    assert "step-00000010" in caplog.text and "damaged" in caplog.text


def test_when_all_are_damaged_it_is_said_in_one_line(tmp_path):
    for step in (5, 10):
        save(tmp_path, step)
        cut(tmp_path / f"step-{step:08d}")
    with pytest.raises(UserError, match=f"All checkpoints are damaged. Received: {tmp_path}.") as refused:
        checkpoint.newest(tmp_path)
    assert "\n" not in str(refused.value)


def test_damaged_later_checkpoints_do_not_crowd_out_new_ones(tmp_path):
    save(tmp_path, 10)
    save(tmp_path, 20)
    cut(tmp_path / "step-00000020")
    # The run goes on from 10, and keeps one.
    save(tmp_path, 15, keep=1)
    assert checkpoint.newest(tmp_path).step == 15
    save(tmp_path, 20, keep=1)
    assert checkpoint.newest(tmp_path).step == 20 and steps(tmp_path) == [20]


def test_what_was_half_written_is_no_checkpoint(tmp_path):
    save(tmp_path, 5)
    (tmp_path / ".step-00000010.0a1b2c3d.partial").mkdir()
    assert checkpoint.newest(tmp_path).step == 5


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    save(tmp_path, 5, keep=1)
    named = variables(1.0)
    named["net/bias"].assign([1.0, np.nan, 1.0])
    with pytest.raises(UserError, match="diverged.*Received: net/bias"):
        checkpoint.save(tmp_path, 10, named, keep=1)
    assert steps(tmp_path) == [5]


def test_a_full_disk_leaves_earlier_checkpoints_as_they_are(tmp_path):
    save(tmp_path, 5, keep=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(UserError, match="Could not write. Received: .*step-00000010"):
            save(tmp_path, 10, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert steps(tmp_path) == [5] and checkpoint.newest(tmp_path).step == 5


def test_a_disk_that_fills_up_keeps_the_last_whole_one_and_goes_on_when_there_is_room(full_disk):
    kept = []
    with pytest.raises(UserError, match="Could not write. Received: .*step-.*[Nn]o space left") as refused:
        for step in range(1, 100):
            save(full_disk / "checkpoints", step, keep=100)
            kept.append(step)
    assert len(kept) > 2 and "\n" not in str(refused.value)
    assert checkpoint.newest(full_disk / "checkpoints").step == kept[-1]
    assert steps(full_disk / "checkpoints") == kept
    # Room is made.
    checkpoint.shutil.rmtree(full_disk / "checkpoints" / "step-00000001")
    save(full_disk / "checkpoints", kept[-1] + 1, keep=2)
    assert steps(full_disk / "checkpoints") == [kept[-1], kept[-1] + 1]


def test_a_note_says_step_and_checksum(tmp_path):
    save(tmp_path, 5)
    note = json.loads((tmp_path / "step-00000005" / "checkpoint.json").read_text())
    assert note["step"] == 5 and len(note["sha256"]) == 64


def test_everything_that_training_changes_is_in_a_checkpoint(tiny_model):
    model = tiny_model(text_training="end_to_end")
    model.compile()
    named = checkpoint.variables(model, model.generator)
    held = {id(variable) for variable in named.values()}
    parts = [model.generator, model.discriminator, model.text_encoder]
    parts += [model.generator_optimizer, model.discriminator_optimizer, model.encoder_optimizer]
    for part in parts:
        for variable in part.variables:
            assert id(variable) in held, variable.path
    assert {name.split("/")[0] for name in named} == {
        "generator",
        "discriminator",
        "text_encoder",
        "generator_optimizer",
        "discriminator_optimizer",
        "encoder_optimizer",
        "average",
    }


def test_names_are_the_same_whatever_was_built_before(tiny_model):
    names = []
    for _ in range(2):
        model = tiny_model()
        model.compile()
        names.append(list(checkpoint.variables(model, None)))
    assert names[0] == names[1]
