"""The models of a server: loaded aside, called by name, and replaced when a newer version answers."""

from __future__ import annotations

import pathlib
import threading
import typing
from collections.abc import Callable, Mapping

import numpy as np
from absl import logging

from ssagan_tf.core import cli
from ssagan_tf.errors import UserError
from ssagan_tf.on_device import MAX_TRUNCATION
from ssagan_tf.serving import rest
from ssagan_tf.serving.rest import ServingError, invalid
from ssagan_tf.weights.versions import newest_version

_LOOK_EVERY = 2.0  # seconds between two looks for newer versions


class Loaded:
    """One version of an exported model.

    Args:
        version: its folder.

    Raises:
        UserError: it is damaged, may do more than compute, or does not answer.
    """

    def __init__(self, version: pathlib.Path):
        from ssagan_tf.core import third_party_models
        from ssagan_tf.export import serving

        self.version = int(version.name)
        self.signatures = serving.signatures(version)
        self._loaded = third_party_models.load(version)
        for name, signature in self.signatures.items():
            if len(signature.inputs) == 1:  # the first call of one is slow, and tells whether it works
                self.predict(name, {key: rest.example(info) for key, info in signature.inputs.items()})
                break

    def inputs_of(self, signature: str) -> dict[str, typing.Any]:
        """TensorInfo of each input. Raises ServingError for an unknown signature."""
        if signature not in self.signatures:
            raise invalid(f'Serving signature name: "{signature}" not found in signature def')
        return dict(self.signatures[signature].inputs)

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on arrays of the right types, strings as objects.

        Raises:
            ServingError: wrong inputs, what the graph refuses, or an answer that is not finite.
        """
        import tensorflow as tf

        wanted = self.inputs_of(signature)
        if set(inputs) != set(wanted):
            raise invalid(
                f"input size does not match signature: {len(inputs)}!={len(wanted)}. "
                f"Sent extra: {sorted(set(inputs) - set(wanted))}. "
                f"Missing but required: {sorted(set(wanted) - set(inputs))}."
            )
        if np.abs(inputs.get("truncation", [0])).max(initial=0) > MAX_TRUNCATION:
            raise invalid(f"Input truncation must be at most {MAX_TRUNCATION} but was larger")
        tensors = {name: _as_tensor(name, inputs[name], info) for name, info in wanted.items()}
        try:
            outputs = {name: value.numpy() for name, value in self._loaded.signatures[signature](**tensors).items()}
        except tf.errors.OpError as error:
            code = next(name for name, number in vars(tf.errors).items() if number == error.error_code)
            raise ServingError(code, _reason(error)) from error
        wrong = [name for name, value in outputs.items() if value.dtype.kind == "f" and not np.isfinite(value).all()]
        if wrong:
            raise invalid(f"Output {wrong[0]} is not finite for these inputs")
        return outputs


def _as_tensor(name: str, value: np.ndarray, info):
    """The array as a tensor, if it fits the signature."""
    import tensorflow as tf

    wanted = tf.TensorSpec(info.tensor_shape, info.dtype)
    tensor = tf.constant(value, tf.string) if value.dtype == object else tf.constant(value)
    if tensor.dtype != wanted.dtype:
        raise invalid(f"Input {name} must be {wanted.dtype.name} but was {tensor.dtype.name}")
    if not wanted.shape.is_compatible_with(tensor.shape):
        raise invalid(f"Input {name} must be of shape {wanted.shape} but was {tensor.shape}")
    return tensor


def _reason(error) -> str:
    """What an operation said, without where in the graph it stands."""
    return error.message.split("<stack traces unavailable>")[-1].split("\n\t [[")[0].strip()


class Models:
    """Models by name; loaded in a thread of their own, which then looks for newer versions.

    Args:
        folders: of all versions of each, as export.py writes it, by the models' names; or what makes it, called when
            the models before it answer.
    """

    def __init__(self, folders: Mapping[str, pathlib.Path | Callable[[], pathlib.Path]]):
        self.folders = dict(folders)
        self.loaded: dict[str, Loaded] = {}
        self.failed: UserError | None = None  # a model that was not there from the beginning
        self._tried: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    @property
    def ready(self) -> bool:
        return self.loaded.keys() == self.folders.keys()

    def get(self, name: str, version: int | None = None) -> Loaded:
        """The version of a model that answers now. Raises ServingError if it is not served, or not yet."""
        loaded = self.loaded.get(name)
        if name in self.folders and loaded is None:
            raise ServingError("UNAVAILABLE", f"Servable is being loaded: {name}")
        if loaded is None or version not in (None, loaded.version):
            which = name if version is None else f"{name}, version {version}"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {which}")
        return loaded

    def answer(self, name: str, version: int | None, what: str, body: bytes) -> tuple[int, bytes]:
        """As `app.Backend.answer`."""
        return 200, rest.local_answer(self.get(name, version), what, name, body)

    def refresh(self) -> None:
        """Loads what is newer than what answers; what cannot be loaded is told once, and changes nothing.

        Raises:
            UserError: a model has no version that can be loaded, and none that answers.
        """
        for name, folder in self.folders.items():
            if callable(folder):
                self.folders[name] = folder = folder()
            newest = newest_version(folder)
            if newest is None and name not in self.loaded:
                raise UserError(f"No model found. Received: {folder}. Give a folder that export.py wrote.")
            if newest is None or int(newest.name) == self._tried.get(name):
                continue
            self._tried[name] = int(newest.name)
            try:
                self.loaded[name] = Loaded(newest)
            except (UserError, ServingError) as error:
                if name not in self.loaded:
                    raise UserError(str(error)) from error
                logging.warning("Version %s of %s is not served: %s", newest.name, name, error)
            else:
                logging.info("Version %s of %s is served.", newest.name, name)

    def _watch(self) -> None:
        try:
            cli.start_tensorflow()
            self.refresh()
        except UserError as error:
            self.failed = error
            return
        while not self._stop.wait(_LOOK_EVERY):
            try:
                self.refresh()
            except Exception:
                logging.exception("Looking for newer versions failed.")
