"""A SavedModel without strings, for servers that share no code with TensorFlow: OpenVINO Model Server, Triton.

`serving_default` takes ids (B, T) int32, 0 after a caption's end, and noise (B, noise_dim), to image (B, S, S, 3) in
[-1, 1] and mask_4 (B, 4, 4, 1), mask_8, ... in [0, 1]; all but the ids are float32. Words are made of captions, and
noise of seeds, by the rules of `on_device.py`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import tensorflow as tf

from ssagan_tf.export.graph import DeviceGraphs
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.weights.model_folder import VOCABULARY_FILE


def export(model: SSAGAN, folder: pathlib.Path, captions: Sequence[str] = ()) -> None:
    """Writes the SavedModel, and the vocabulary beside it. Raises UserError for a text encoder that reads no ids."""
    graphs = DeviceGraphs(model)
    functions = graphs.functions()
    inputs = [functions["text"].input_signature[0], functions["image"].input_signature[0]]

    def serve(ids, noise):
        return graphs.image(noise, graphs.text(ids)["sentence"])

    tf.saved_model.save(graphs, str(folder), signatures=tf.function(serve, inputs, autograph=False))
    model.require_vocabulary().save(folder / VOCABULARY_FILE)
