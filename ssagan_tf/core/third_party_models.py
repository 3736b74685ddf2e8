"""Finds, reads and calls third-party SavedModels, from a folder or by tensorflow-hub."""

from __future__ import annotations

import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable

import tensorflow as tf

from ssagan_tf.core import saved_model_scan
from ssagan_tf.errors import UserError

SAVED_MODEL = "saved_model.pb"
_ENDPOINTS = ("serving_default", "default")


def is_saved_model(folder: str) -> bool:
    """Whether there is one in a folder."""
    return (pathlib.Path(folder) / SAVED_MODEL).is_file()


def is_fetched(address: str) -> bool:
    """Whether tensorflow-hub has unpacked an address before: into a folder that is named by the address's SHA-1."""
    cache = os.environ.get("TFHUB_CACHE_DIR") or pathlib.Path(tempfile.gettempdir()) / "tfhub_modules"
    return is_saved_model(str(pathlib.Path(cache) / hashlib.sha1(address.encode()).hexdigest()))


def fetched(address: str, flag: str) -> pathlib.Path:
    """The folder into which tensorflow-hub has unpacked what is at an https:// address.

    Args:
        address: of a SavedModel.
        flag: that takes a folder instead, for errors.

    Raises:
        UserError: it cannot be fetched: says what to put where.
    """
    instead = f"Or download {address}?tf-hub-format=compressed, unpack it and give that folder as {flag}."
    try:
        import tensorflow_hub
    except ImportError as error:
        raise UserError(
            f"An address needs tensorflow-hub. Received: {address}: {error}. Run pip install -e '.[hub]'. {instead}"
        ) from error
    try:
        return pathlib.Path(tensorflow_hub.resolve(address))
    except Exception as error:  # What a failed download raises is no closed list.
        reason = " ".join(str(error).split())
        raise UserError(f"The SavedModel could not be fetched. Received: {address}: {reason}. {instead}") from error


def load(folder: str | pathlib.Path):
    """What `tf.saved_model.load` gives, of a SavedModel that does nothing but compute (`saved_model_scan`).

    Raises:
        UserError: it cannot be read, or may do more.
    """
    saved_model_scan.check(pathlib.Path(folder))
    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:  # What a damaged SavedModel raises is no closed list.
        reason = " ".join(str(error).split())
        raise UserError(f"The SavedModel cannot be read. Received: {folder}: {reason}. Use another copy.") from error


def signature_of(loaded):
    """Its signature "serving_default", or that of hub's first format; None: it has neither."""
    signatures = getattr(loaded, "signatures", {})
    return next((signatures[name] for name in _ENDPOINTS if name in signatures), None)


def function_of(loaded, folder: str | pathlib.Path) -> Callable:
    """Function of one tensor that calls a loaded SavedModel.

    Raises:
        UserError: it can neither be called nor has it a signature with one input.
    """
    if callable(loaded):
        return loaded
    signature = signature_of(loaded)
    if signature is None:
        raise UserError(
            f"The SavedModel cannot be called. Received: {folder}. Give one that is callable or has 'serving_default'."
        )
    inputs = list(signature.structured_input_signature[1])
    if len(inputs) != 1:
        raise UserError(
            f"The SavedModel takes more than one thing. Received: {folder} with inputs {', '.join(inputs)}. "
            "Give one with a single input."
        )
    return lambda value: signature(**{inputs[0]: value})
