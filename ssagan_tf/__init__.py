"""Text-to-image with SSA-GAN (Liao et al., CVPR 2022) on TensorFlow and Keras 3."""

import importlib

_HOMES = {
    "DAMSM": "ssagan_tf.damsm",
    "SSAGAN": "ssagan_tf.ssagan",
    "Vocabulary": "ssagan_tf.text.vocabulary",
    "UserError": "ssagan_tf.errors",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    """Imports a public name when it is first used: TensorFlow takes seconds, and not everything needs it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
