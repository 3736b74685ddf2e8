"""DAMSM pretraining: what it minimises, what it clips, and that captions find their pictures."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import saving
from ssagan_tf.damsm import DAMSM
from ssagan_tf.losses import damsm_loss
from ssagan_tf.networks import CompactImageEncoder, TextEncoder

COLOURS = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]], "float32")
BATCH = {
    "image": np.broadcast_to(COLOURS[:, None, None, :], (4, 16, 16, 3)),
    "caption": np.array([[1, 5, 0], [2, 5, 0], [3, 0, 0], [4, 0, 0]]),
    "class_id": np.array([-1, -1, -1, -1]),
}


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return DAMSM(TextEncoder(6, 8, dropout=0.0, embedding_dim=5), CompactImageEncoder(8, 16, base_filters=2))


def batch():
    return {name: tf.constant(value) for name, value in BATCH.items()}


def test_the_loss_is_damsm_with_the_gamma_of_pretraining(model):
    model.compile()
    data = batch()
    parts = *model.image_encoder(data["image"], training=True), *model.text_encoder(data["caption"])
    expected = damsm_loss(*parts, tf.constant([2, 2, 1, 1]), data["class_id"], gamma1=4.0)
    logs = model.train_step(data)
    assert set(logs) == {"damsm_loss", "found"}
    np.testing.assert_allclose(logs["damsm_loss"], expected, rtol=1e-4)


def test_gradients_of_the_text_encoder_are_clipped_and_others_are_not(model):
    model.compile(keras.optimizers.SGD(1.0))
    for variable in model.text_encoder.trainable_variables:
        variable.assign(50.0 * variable.numpy())
    before = [[v.numpy() for v in part.trainable_variables] for part in (model.text_encoder, model.image_encoder)]
    model.train_step(batch())
    norms = [
        np.sqrt(sum(np.sum((v.numpy() - value) ** 2) for v, value in zip(part.trainable_variables, old, strict=True)))
        for part, old in zip((model.text_encoder, model.image_encoder), before, strict=True)
    ]
    np.testing.assert_allclose(norms[0], 0.25, rtol=1e-3)  # "bird", word 5, occurs twice and counts with its sum
    assert norms[1] > 0.25


def test_a_pretraining_that_goes_on_is_the_one_without_a_break():
    def made():
        keras.utils.set_random_seed(0)
        text_encoder = TextEncoder(6, 8, dropout=0.5, embedding_dim=5, name="text_encoder")
        damsm = DAMSM(text_encoder, CompactImageEncoder(8, 16, base_filters=2, name="image_encoder"))
        damsm.compile()
        return damsm

    whole, broken = made(), made()
    for _ in range(2):
        whole.train_step(batch())
    saving.assign_state(
        broken.state_variables(), {name: v.numpy() for name, v in whole.state_variables().items()}, "a checkpoint"
    )
    for model in (whole, broken):
        model.train_step(batch())
    for name, variable in whole.state_variables().items():
        np.testing.assert_array_equal(variable, broken.state_variables()[name], err_msg=name)


def test_captions_learn_to_find_their_pictures(model):
    model.compile(keras.optimizers.Adam(0.02, beta_1=0.5))
    step = tf.function(model.train_step)
    data = batch()
    logs = [{name: float(value) for name, value in step(data).items()} for _ in range(60)]
    assert logs[-1]["found"] == 1.0
    assert logs[-1]["damsm_loss"] < 0.2 * logs[0]["damsm_loss"]
