"""Text-to-image with SSA-GAN (Liao et al., CVPR 2022) on TensorFlow and Keras 3."""

import importlib
import json
import os
import pathlib
import sys

from ssagan_tf.errors import UserError

_HOMES = {
    "DAMSM": "ssagan_tf.damsm",
    "SSAGAN": "ssagan_tf.ssagan",
    "Vocabulary": "ssagan_tf.text.vocabulary",
}
__all__ = [*_HOMES, "UserError"]


def __getattr__(name: str):
    """Imports a public name when it is first used: TensorFlow takes seconds, and not everything needs it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def _backend() -> str:
    """Keras's backend: the one that runs, or else that of the environment or of Keras's own settings."""
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend()
    home = pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras")
    try:
        settings = json.loads((home / "keras.json").read_text())
    except (OSError, ValueError):
        settings = {}
    usual = settings.get("backend", "tensorflow") if isinstance(settings, dict) else "tensorflow"
    return os.environ.get("KERAS_BACKEND") or usual


def _refuse(backend: str):
    """Raises UserError, told without a traceback if nobody catches it: Keras would fail on the next line."""
    usual = sys.excepthook

    def told(kind, error, trace):
        print(error, file=sys.stderr) if kind is UserError else usual(kind, error, trace)

    sys.excepthook = told
    raise UserError(
        f"This package needs Keras on TensorFlow. Received: the backend {backend!r}. "
        "Set KERAS_BACKEND=tensorflow before anything imports Keras."
    )


if _backend() != "tensorflow":
    _refuse(_backend())
