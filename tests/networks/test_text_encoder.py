"""The text encoder against an LSTM written word by word: padding never matters."""

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.networks import TextEncoder

TINY = {"vocabulary_size": 12, "sentence_dim": 6, "dropout": 0.5, "embedding_dim": 5}
IDS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0], [5, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slow_direction(cell, embedded):
    """PyTorch's LSTM over one caption: (length, E) -> (length, U); gates in the order i, f, g, o."""
    kernel, recurrent, bias, recurrent_bias = (variable.numpy().astype("float64") for variable in cell.variables)
    hidden = state = np.zeros(cell.units)
    outputs = []
    for word in embedded:
        i, f, g, o = np.split(word @ kernel + bias + hidden @ recurrent + recurrent_bias, 4)
        state = sigmoid(f) * state + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(state)
        outputs.append(hidden)
    return np.array(outputs).reshape(-1, cell.units)


def slow_encoder(encoder, ids):
    """Caption by caption, without any padding."""
    half = encoder.sentence_dim // 2
    words, sentence = np.zeros((*ids.shape, 2 * half)), np.zeros((len(ids), 2 * half))
    for row, caption in enumerate(ids):
        length = np.count_nonzero(caption)
        if length:
            embedded = encoder.embedding.embeddings.numpy()[caption[:length]].astype("float64")
            forward = slow_direction(encoder.forwards.cell, embedded)
            backward = slow_direction(encoder.backwards.cell, embedded[::-1])[::-1]
            words[row, :length] = np.concatenate([forward, backward], -1)
            sentence[row] = np.concatenate([forward[-1], backward[0]])
    return words, sentence


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_words_and_sentence_are_those_of_a_slow_lstm(dtype, randomize):
    encoder = randomize(TextEncoder(**TINY))
    words, sentence = encoder(tf.constant(IDS, dtype))
    assert words.shape == (4, 5, 6) and sentence.shape == (4, 6)
    expected_words, expected_sentence = slow_encoder(encoder, IDS)
    np.testing.assert_allclose(words, expected_words, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sentence, expected_sentence, rtol=1e-5, atol=1e-6)


def test_outputs_after_the_end_are_exactly_zero(randomize):
    words, _ = randomize(TextEncoder(**TINY))(IDS)
    assert (words.numpy()[IDS == 0] == 0).all() and (words.numpy()[IDS != 0] != 0).all()


def test_more_padding_changes_nothing(randomize):
    encoder = randomize(TextEncoder(**TINY))
    words, sentence = encoder(IDS)
    padded_words, padded_sentence = encoder(np.pad(IDS, [(0, 0), (0, 7)]))
    np.testing.assert_array_equal(padded_words[:, :5], words)
    np.testing.assert_array_equal(padded_sentence, sentence)


def test_the_embedding_of_padding_has_no_effect(randomize):
    encoder = randomize(TextEncoder(**TINY))
    before = encoder(IDS)[1].numpy()
    table = encoder.embedding.embeddings.numpy()
    table[0] = 1000.0
    encoder.embedding.embeddings.assign(table)
    np.testing.assert_array_equal(encoder(IDS)[1], before)


def test_the_published_encoder_has_the_published_number_of_parameters():
    encoder = TextEncoder(5450)
    assert encoder.count_params() == 2_075_320
    table = encoder.embedding.embeddings.numpy()
    assert table.shape == (5450, 300) and 0.0999 < np.abs(table).max() <= 0.1


def test_dropout_acts_in_training_alone(randomize):
    encoder = randomize(TextEncoder(**TINY))
    np.testing.assert_array_equal(encoder(IDS)[1], encoder(IDS)[1])
    drawn = [encoder(IDS, training=True)[1].numpy() for _ in range(2)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3


def test_gradients_reach_every_weight(randomize):
    encoder = randomize(TextEncoder(**TINY))
    with tf.GradientTape() as tape:
        words, sentence = encoder(IDS)
        loss = tf.reduce_sum(words**2) + tf.reduce_sum(sentence)
    for variable, gradient in zip(
        encoder.trainable_variables, tape.gradient(loss, encoder.trainable_variables), strict=True
    ):
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, variable.path
        if variable is encoder.embedding.embeddings:
            used = np.unique(IDS[IDS > 0])
            assert set(np.flatnonzero(np.abs(gradient).max(1))) == set(used)


def test_the_two_biases_have_the_same_gradient(randomize):
    encoder = randomize(TextEncoder(**TINY))
    cell = encoder.forwards.cell
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(encoder(IDS)[1])
    one, other = tape.gradient(loss, [cell.bias.value, cell.recurrent_bias.value])
    np.testing.assert_array_equal(one, other)


def test_a_sentence_of_two_unequal_halves_is_refused():
    with pytest.raises(UserError, match="two halves. Received: sentence_dim=7. Use an even"):
        TextEncoder(**{**TINY, "sentence_dim": 7})
