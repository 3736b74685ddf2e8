"""The models of a server: loaded aside, called by name, and replaced when a newer version answers."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable, Mapping

from absl import logging

from ssagan_tf.core import cli
from ssagan_tf.errors import UserError
from ssagan_tf.serving import rest
from ssagan_tf.serving.loaded import Loaded
from ssagan_tf.serving.rest import ServingError
from ssagan_tf.serving.saved_model import SavedModel
from ssagan_tf.weights.versions import newest_version

_LOOK_EVERY = 2.0  # seconds between two looks for newer versions


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
        self._tried: dict[str, tuple[pathlib.Path, int]] = {}
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
        """Loads what is newer than what answers; what cannot be loaded is told once until it changes.

        Raises:
            UserError: a model has no version that can be loaded, and none that answers.
        """
        for name, folder in self.folders.items():
            if callable(folder):
                self.folders[name] = folder = folder()
            newest = newest_version(folder)
            if newest is None and name not in self.loaded:
                raise UserError(f"No model found. Received: {folder}. Give a folder that export.py wrote.")
            if newest is None or name in self.loaded and self.loaded[name].version == int(newest.name):
                continue
            # A version that is being copied is damaged until it is whole: it is tried again when it has changed.
            state = newest, max(path.stat().st_mtime_ns for path in newest.rglob("*"))
            if self._tried.get(name) == state:
                continue
            self._tried[name] = state
            try:
                self.loaded[name] = SavedModel(newest)
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
