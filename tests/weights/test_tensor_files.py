"""Weights by name: the same names in every process, and no half fitting state is taken."""

import keras
import numpy as np
import pytest

from ssagan_tf import UserError
from ssagan_tf.networks import TextEncoder
from ssagan_tf.weights import tensor_files


def layer(value: float = 0.0):
    made = keras.layers.Dense(3)
    made.build((None, 2))
    for variable in made.variables:
        variable.assign(np.full(variable.shape, value))
    return made


def test_names_are_the_parts_without_keras_counters():
    for _ in range(2):
        assert list(tensor_files.named_variables("net", layer().variables)) == ["net/kernel", "net/bias"]


def test_random_states_are_left_out():
    encoder = TextEncoder(4, 4, 0.5, 3)
    assert any("seed_generator" in variable.path for variable in encoder.variables)
    names = tensor_files.named_variables("text", encoder.variables)
    assert not any("seed" in name for name in names) and "text/embedding/embeddings" in names


def test_what_is_written_is_read_and_assigned(tmp_path):
    tensor_files.write_state(tmp_path / "w.safetensors", tensor_files.named_variables("net", layer(2.5).variables))
    other = layer()
    state = tensor_files.read_state(tmp_path / "w.safetensors")
    tensor_files.assign_state(tensor_files.named_variables("net", other.variables), state, "here")
    assert (other.kernel.numpy() == 2.5).all() and (other.bias.numpy() == 2.5).all()


def test_nothing_is_assigned_unless_all_fits():
    other = layer(1.0)
    named = tensor_files.named_variables("net", other.variables)
    state = {"net/kernel": np.zeros((2, 3)), "net/bias": np.zeros(4), "net/more": np.zeros(1)}
    with pytest.raises(UserError, match="here: net/more is not known; net/bias is \\(4,\\), not \\(3,\\). Use"):
        tensor_files.assign_state(named, state, "here")
    with pytest.raises(UserError, match="net/kernel is missing; net/bias is missing"):
        tensor_files.assign_state(named, {}, "here")
    assert (other.kernel.numpy() == 1.0).all() and (other.bias.numpy() == 1.0).all()


def test_very_many_differences_are_told_in_one_line():
    with pytest.raises(UserError, match="and 90 more") as refused:
        tensor_files.assign_state({}, {f"name{number}": np.zeros(1) for number in range(100)}, "here")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 1000
