"""A text encoder made by others: a SavedModel from strings to vectors, as on tensorflow-hub."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ssagan_tf.core import third_party_models
from ssagan_tf.errors import UserError
from ssagan_tf.networks.primitives import dense, stated

PREFIX = "hub:"
_FLAG = f"--text_encoder={PREFIX}FOLDER"


# Not registered with Keras: what a file of others names would be loaded, and a SavedModel is a program.
class HubEncoder(keras.Model):
    """Sentences by a SavedModel, projected to the size that the networks want; no word features.

    It reads captions as they are, so that it knows words that the vocabulary does not.

    Args:
        handle: "hub:" and the folder of a SavedModel, or the https:// address of one.
        vocabulary_size: number of words with padding; nothing here depends on it.
        sentence_dim: size D of the sentence.
        trained: whether its own variables learn, too, and are saved with the weights. Else the projection alone does,
            and the SavedModel must stay where it is.

    Call: captions (B,) strings -> (None, sentence (B, D)).

    Raises:
        UserError: no SavedModel there, or one that does not make a vector of each string: says what to put where.
    """

    reads_text = True

    def __init__(self, handle: str, vocabulary_size: int, sentence_dim: int = 256, trained: bool = False, **kwargs):
        super().__init__(**stated(kwargs))
        folder = _folder(handle)
        self.loaded = third_party_models.load(folder)
        self._function = third_party_models.function_of(self.loaded, folder)
        size = self._size(folder)

        # === Layers ===
        self.project = dense(size, sentence_dim, name="project", dtype=self.dtype_policy)
        self.project.build((None, size))
        self.source = []
        if trained:
            self.source = [
                keras.Variable(variable, dtype=variable.dtype.name, name=f"source_{index}")
                for index, variable in enumerate(_trainable(self.loaded))
            ]

        # === Config ===
        self.handle = handle
        self.vocabulary_size = vocabulary_size
        self.sentence_dim = sentence_dim
        self.trained = trained
        self.built = True

    def _size(self, folder) -> int:
        try:
            found = self._vectors(tf.constant(["a bird", "two red birds"]))
        except Exception as error:  # What a graph of others raises is no closed list.
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"The SavedModel does not read text. Received: {folder}: {reason}. Give one that takes strings (B,)."
            ) from error
        if found.shape.rank != 2 or found.shape[0] != 2 or not found.dtype.is_floating:
            raise UserError(
                f"The SavedModel gives no vectors. Received: {folder}: {found.dtype.name} {tuple(found.shape)} for two "
                "texts. Give one that makes a vector of each."
            )
        return found.shape[1]

    def _vectors(self, captions):
        found = self._function(captions)
        if isinstance(found, dict):
            found = found["default"] if "default" in found else next(iter(found.values()))
        return tf.convert_to_tensor(found)

    def call(self, captions, training=False):
        vectors = self._vectors(captions)
        if not self.trained:
            vectors = tf.stop_gradient(vectors)
        return None, self.project(tf.cast(vectors, self.compute_dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "handle": self.handle,
            "vocabulary_size": self.vocabulary_size,
            "sentence_dim": self.sentence_dim,
            "trained": self.trained,
        }


class HubGraph(tf.Module):
    """`HubEncoder` for inference: captions (B,) strings -> sentence (B, D), the SavedModel and all."""

    def __init__(self, encoder: HubEncoder):
        super().__init__()
        self.loaded = encoder.loaded
        self._vectors = encoder._vectors
        weights = [encoder.project.kernel, encoder.project.bias]
        self.kernel, self.bias = (tf.Variable(np.asarray(weight), trainable=False) for weight in weights)

    def __call__(self, captions: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.cast(self._vectors(captions), tf.float32), self.kernel) + self.bias


def _folder(handle: str) -> str:
    name = handle.removeprefix(PREFIX)
    if name.startswith("https://"):
        return str(third_party_models.fetched(name, _FLAG))
    if not third_party_models.is_saved_model(name):
        raise UserError(
            f"There is no text encoder. Received: {handle}. Put a SavedModel that turns strings into vectors (its "
            f"{third_party_models.SAVED_MODEL} and variables/) into a folder and give that as {_FLAG}."
        )
    return name


def _trainable(loaded) -> list[tf.Variable]:
    """Its variables that learn: those that it names, or else all that learn of what its function uses."""
    named = getattr(loaded, "trainable_variables", None)
    if named:
        return list(named)
    signature = third_party_models.signature_of(loaded)
    return [] if signature is None else list(signature.trainable_variables)
