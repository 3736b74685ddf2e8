"""Weights to files and back, in the safetensors format: no code in it, every name and shape checked."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
from collections.abc import Callable, Mapping

import keras
import numpy as np
import safetensors
import safetensors.numpy

from ssagan_tf.core import files
from ssagan_tf.errors import UserError

_SHOWN = 10


def named_variables(prefix: str, variables: list[keras.Variable]) -> dict[str, keras.Variable]:
    """Variables by a name that is the same in every process: `prefix/path`, without Keras's counters.

    Random states are left out, as weights do not need them: see `random_states`.
    """
    named = {}
    for variable in variables:
        if "seed_generator" in variable.path:
            continue
        # The first part is the network's or optimizer's own name, to which Keras may have added a counter.
        name = f"{prefix}/{variable.path.split('/', 1)[-1]}"
        if name in named:
            raise AssertionError(f"two variables are named {name}")
        named[name] = variable
    return named


def random_states(prefix: str, variables: list[keras.Variable]) -> dict[str, keras.Variable]:
    """The random states among the variables (dropout's), by a name that is the same in every process."""
    states = [variable for variable in variables if "seed_generator" in variable.path]
    return {f"{prefix}/random_{index}": state for index, state in enumerate(states)}


def write_state(path: str | os.PathLike, named: Mapping[str, keras.Variable], notes: dict[str, str] | None = None):
    """Writes variables' values atomically.

    Raises:
        UserError: a value is not finite, the disk is full or read-only.
    """
    state = {name: np.asarray(variable.numpy(), order="C") for name, variable in named.items()}
    wrong = [name for name, value in state.items() if not np.isfinite(value).all()]
    if wrong:
        raise UserError(
            f"Training has diverged: weights are not finite. Received: {wrong[0]}. "
            "Go on from the last checkpoint with --resume, or start anew with another --seed."
        )
    files.write_atomically(path, safetensors.numpy.save(state, notes))


def read_state(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Arrays by name. Raises UserError if the file is missing or damaged."""
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def read_shapes(path: str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """Shapes of a file's arrays by name, from its header alone. Raises UserError as `read_state`."""
    with _open(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}


@contextlib.contextmanager
def _open(path):
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"No weights found. Received: {path}. Check the folder, or train or convert a model into it.")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            yield file
    except (safetensors.SafetensorError, OSError, TypeError, AttributeError) as error:
        raise UserError(f"The weights file is damaged. Received: {path}: {error}. Use another copy.") from error


def shapes_of(build: Callable[[], Mapping[str, keras.Variable]]) -> dict[str, tuple[int, ...]]:
    """Shapes of the variables that `build` makes, by name, without memory for any of them."""

    def build_without_values():
        with keras.StatelessScope(initialize_variables=False):
            return {name: tuple(variable.shape) for name, variable in build().items()}

    # In a thread of its own, as Keras notes for each thread which variables still want values.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(build_without_values).result()


def assign_state(named: Mapping[str, keras.Variable], state: Mapping[str, np.ndarray], origin: str) -> None:
    """Sets every variable from `state`, which must have just these names, with these shapes.

    Raises:
        UserError: anything missing, unknown or of another shape; all differences in one message.
    """
    wanted = {name: tuple(variable.shape) for name, variable in named.items()}
    check_shapes(wanted, {name: value.shape for name, value in state.items()}, origin)
    for name, variable in named.items():
        variable.assign(state[name])


def check_shapes(wanted: Mapping[str, tuple], found: Mapping[str, tuple], origin: str) -> None:
    """Raises UserError if arrays differ in name or shape; all differences in one message."""
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is not known" for name in found if name not in wanted]
    problems += [
        f"{name} is {found[name]}, not {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise UserError(
            f"The weights do not fit the model. Received: {origin}: {'; '.join(problems[:_SHOWN])}{more}. "
            "Use weights of the same configuration."
        )
