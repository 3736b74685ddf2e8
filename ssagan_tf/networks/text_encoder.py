"""Text encoders: word ids to word features and one sentence embedding; the LSTM is published `RNN_ENCODER`."""

from __future__ import annotations

import typing

import keras
import tensorflow as tf

from ssagan_tf.core.arguments import check_sizes, check_weights
from ssagan_tf.errors import UserError
from ssagan_tf.networks.primitives import register, stated

_EMBEDDING_RANGE = 0.1


@register
class TwoBiasLSTMCell(keras.layers.Layer):
    """One step of PyTorch's LSTM: gates in the order input, forget, cell, output, and two bias vectors.

    Keras's cell has one bias. Their sum is all that counts for the output, but each has its own Adam step, so a port
    that trains as published needs both.

    Args:
        units: size U of the state.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**stated(kwargs))
        self.units = units
        self.state_size = [units, units]
        self.output_size = units

    def build(self, input_shape):
        limit = self.units**-0.5
        options = {"initializer": keras.initializers.RandomUniform(-limit, limit)}
        self.kernel = self.add_weight(shape=(input_shape[-1], 4 * self.units), name="kernel", **options)
        self.recurrent_kernel = self.add_weight(shape=(self.units, 4 * self.units), name="recurrent_kernel", **options)
        self.bias = self.add_weight(shape=(4 * self.units,), name="bias", **options)
        self.recurrent_bias = self.add_weight(shape=(4 * self.units,), name="recurrent_bias", **options)

    def call(self, inputs, states, training=False):
        hidden, cell = states
        gates = tf.matmul(inputs, self.kernel) + tf.matmul(hidden, self.recurrent_kernel)
        gates = gates + self.bias + self.recurrent_bias
        enter, forget, new, leave = tf.split(gates, 4, axis=-1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(enter) * tf.tanh(new)
        hidden = tf.sigmoid(leave) * tf.tanh(cell)
        return hidden, [hidden, cell]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class SentenceEncoder(typing.Protocol):
    """What the model asks of a text encoder: a Keras layer that turns ids into a sentence embedding.

    Whatever fulfils it takes the LSTM's place, in training, sampling and DAMSM alike. Without word features (None)
    DAMSM compares whole sentences only.

    One that has `reads_text = True` gets captions as they are, (B,) strings, in the place of ids.

    Attributes:
        vocabulary_size: number of words with padding.
        sentence_dim: size D of the embedding.
        name, variables, trainable_variables: as every Keras layer has them.

    Call: ids (B, T), 0 is padding at the end -> (words (B, T, D) or None, sentence (B, D)).
    """

    vocabulary_size: int
    sentence_dim: int
    name: str

    @property
    def variables(self) -> list[keras.Variable]: ...

    @property
    def trainable_variables(self) -> list[keras.Variable]: ...

    def __call__(self, ids: tf.Tensor, training: bool = False) -> tuple[tf.Tensor | None, tf.Tensor]: ...


@register
class TextEncoder(keras.Model):
    """A bidirectional LSTM over word embeddings.

    Args:
        vocabulary_size: number of words with padding.
        sentence_dim: size D of word features and sentence, half of it for each direction.
        dropout: on the embeddings, when training.
        embedding_dim: size of the word embedding.
        dtype: dtype policy or its name.

    Call: ids (B, T) int32 or int64, 0 is padding at the end -> (words (B, T, D), zero after a caption's end, forward
    half first; sentence (B, D): forward state at the last word, backward state at the first).

    Raises:
        UserError: an odd `sentence_dim`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        sentence_dim: int = 256,
        dropout: float = 0.5,
        embedding_dim: int = 300,
        **kwargs,
    ):
        super().__init__(**stated(kwargs))
        check_sizes(vocabulary_size=vocabulary_size, sentence_dim=sentence_dim, embedding_dim=embedding_dim)
        check_weights(dropout=dropout)
        if not dropout < 1:
            raise UserError(f"Dropout is a share below 1. Received: dropout={dropout}. Give one such as 0.5.")
        if sentence_dim % 2:
            raise UserError(f"The sentence has two halves. Received: sentence_dim={sentence_dim}. Use an even number.")
        policy = self.dtype_policy

        # === Layers ===
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            embedding_dim,
            embeddings_initializer=keras.initializers.RandomUniform(-_EMBEDDING_RANGE, _EMBEDDING_RANGE),
            name="embedding",
            dtype=policy,
        )
        self.drop = keras.layers.Dropout(dropout, name="drop", dtype=policy)
        self.forwards = self._direction("forwards", sentence_dim // 2, go_backwards=False)
        self.backwards = self._direction("backwards", sentence_dim // 2, go_backwards=True)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.sentence_dim = sentence_dim
        self.dropout = dropout
        self.embedding_dim = embedding_dim
        self.build((None, None))

    def _direction(self, name: str, units: int, go_backwards: bool) -> keras.layers.RNN:
        return keras.layers.RNN(
            TwoBiasLSTMCell(units, name="cell", dtype=self.dtype_policy),
            return_sequences=True,
            return_state=True,
            go_backwards=go_backwards,
            zero_output_for_mask=True,
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, ids_shape=None):
        self.embedding.build((None, None))
        self.drop.build((None, None, self.embedding_dim))
        self.forwards.build((None, None, self.embedding_dim))
        self.backwards.build((None, None, self.embedding_dim))
        self.built = True

    def compute_output_shape(self, ids_shape):
        return (*ids_shape, self.sentence_dim), (ids_shape[0], self.sentence_dim)

    def call(self, ids, training=False):
        mask = tf.not_equal(ids, 0)
        embedded = self.drop(self.embedding(ids), training=training)
        # At padding the state stands still, so the backward direction starts at a caption's last word.
        forward_words, forward_last, _ = self.forwards(embedded, mask=mask)
        backward_words, backward_last, _ = self.backwards(embedded, mask=mask)
        words = tf.concat([forward_words, tf.reverse(backward_words, [1])], -1)
        return words, tf.concat([forward_last, backward_last], -1)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "sentence_dim": self.sentence_dim,
            "dropout": self.dropout,
            "embedding_dim": self.embedding_dim,
        }
