"""DAMSM pretraining: what it minimises, what it clips, and that captions find their pictures."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import UserError, Vocabulary
from ssagan_tf.config import ModelConfig
from ssagan_tf.damsm import DAMSM
from ssagan_tf.losses import damsm_loss, sentence_loss
from ssagan_tf.networks import CompactImageEncoder, TextEncoder
from ssagan_tf.weights import tensor_files

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
    tensor_files.assign_state(
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


CASES = {
    "all of one class": {"class_id": np.zeros(4, int)},
    "captions of one word": {"caption": np.array([[1], [2], [3], [4]])},
    "captions without a word": {"caption": np.zeros((4, 3), int)},
    "a batch of one": {name: value[:1] for name, value in BATCH.items()},
    "pictures all alike": {"image": np.ones((4, 16, 16, 3), "float32")},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_odd_batches_leave_loss_and_weights_finite(model, case):
    model.compile()
    logs = model.train_step({name: tf.constant(value) for name, value in (BATCH | case).items()})
    assert all(np.isfinite(value) for value in logs.values())
    for variable in (*model.variables, *model.optimizer.variables):
        assert np.isfinite(variable).all(), variable.path


def test_gamma3_is_that_of_the_matching(model):
    model.gamma3 = 3.0
    model.compile()
    data = batch()
    parts = *model.image_encoder(data["image"], training=True), *model.text_encoder(data["caption"])
    expected = damsm_loss(*parts, tf.constant([2, 2, 1, 1]), data["class_id"], gamma1=4.0, gamma3=3.0)
    np.testing.assert_allclose(model.train_step(data)["damsm_loss"], expected, rtol=1e-4)


@keras.saving.register_keras_serializable()
class Bag(keras.Model):
    """A sentence is the sum of its words: a text encoder without word features."""

    vocabulary_size, sentence_dim = 6, 8

    def __init__(self):
        super().__init__()
        self.embedding = keras.layers.Embedding(6, 8)
        self.embedding.build()
        self.built = True

    def call(self, ids, training=False):
        return None, tf.reduce_sum(self.embedding(ids), 1)


def test_a_text_encoder_without_words_learns_by_sentences_alone(model):
    damsm = DAMSM(Bag(), model.image_encoder)
    damsm.compile()
    data = batch()
    (_, code), (_, sentence) = model.image_encoder(data["image"], training=True), damsm.text_encoder(data["caption"])
    expected = tf.add_n(sentence_loss(code, sentence, data["class_id"]))
    np.testing.assert_allclose(damsm.train_step(data)["damsm_loss"], expected, rtol=1e-4)
    (sentences,) = damsm.encode_captions(BATCH["caption"])
    assert sentences.shape == (4, 8)


def test_many_pictures_and_captions_are_encoded_as_a_few_are(model):
    pictures = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), np.uint8)
    regions, codes = model.encode_pictures(pictures)
    assert regions.shape == (60, 2, 2, 8) and codes.shape == (60, 8)
    for found, expected in zip((regions, codes), model.image_encoder(pictures[55:] / 127.5 - 1.0), strict=True):
        np.testing.assert_allclose(found[55:], expected, rtol=1e-4, atol=1e-5)
    words, sentences = model.encode_captions(np.tile(BATCH["caption"], (15, 1)))
    for found, expected in zip((words, sentences), model.text_encoder(BATCH["caption"]), strict=True):
        np.testing.assert_allclose(found[56:], expected, rtol=1e-4, atol=1e-5)


def test_a_model_without_an_image_encoder_has_no_damsm():
    with pytest.raises(UserError, match="needs an image encoder. Received: image_encoder=None"):
        DAMSM.from_model_config(ModelConfig(image_encoder=None), Vocabulary.build(["a bird"]))
