"""A SavedModel behind the server, by TensorFlow."""

from __future__ import annotations

import pathlib

import numpy as np

from ssagan_tf.serving.loaded import Loaded
from ssagan_tf.serving.rest import ServingError


class SavedModel(Loaded):
    """One version of an exported model.

    Args:
        version: its folder.

    Raises:
        UserError: it is damaged, may do more than compute, or does not answer.
    """

    def __init__(self, version: pathlib.Path):
        from google.protobuf import json_format

        from ssagan_tf.core import third_party_models
        from ssagan_tf.export import serving

        self.version = int(version.name)
        options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
        table = serving.signatures(version)
        self.signatures = {name: json_format.MessageToDict(table[name], **options) for name in table}
        self._loaded = third_party_models.load(version)
        self.warm_up()

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        tensors = {
            name: tf.constant(value, tf.string) if value.dtype == object else tf.constant(value)
            for name, value in inputs.items()
        }
        try:
            return {name: value.numpy() for name, value in self._loaded.signatures[signature](**tensors).items()}
        except tf.errors.OpError as error:
            code = next(name for name, number in vars(tf.errors).items() if number == error.error_code)
            raise ServingError(code, _reason(error)) from error


def _reason(error) -> str:
    """What an operation said, without where in the graph it stands."""
    return error.message.split("<stack traces unavailable>")[-1].split("\n\t [[")[0].strip()
