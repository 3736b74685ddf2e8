"""The inference graph: what the Keras networks compute, with less work and nothing of training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import noise
from ssagan_tf.errors import UserError
from ssagan_tf.export.graph import ImageGraph, TextGraph
from ssagan_tf.networks import Generator


@pytest.fixture(scope="module")
def model(random_model):
    return random_model


@pytest.fixture(scope="module")
def inputs():
    return noise.normals(range(5), 5), np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)


def test_pictures_and_masks_are_those_of_the_generator(model, inputs):
    image, masks = tf.function(ImageGraph(model.generator))(*inputs)
    wanted, wanted_masks = model.generator(*inputs, training=False)
    assert np.std(wanted) > 0.1
    np.testing.assert_allclose(image, wanted, atol=1e-4)
    assert len(masks) == len(wanted_masks) == 5
    for mask, wanted_mask in zip(masks, wanted_masks, strict=True):
        assert np.std(wanted_mask) > 0.01
        np.testing.assert_allclose(mask, wanted_mask, atol=1e-4)


def test_a_generator_of_the_published_widths_ratios_and_another_dtype_is_copied_too(randomize, inputs):
    generator = randomize(Generator(1, 256, 5, 16, 2, dtype="float64"), seed=3)
    image, _ = ImageGraph(generator)(*inputs)
    assert image.dtype == tf.float32
    np.testing.assert_allclose(image, generator(*inputs, training=False)[0], atol=1e-5)


def test_words_and_sentences_are_those_of_the_text_encoder(model):
    ids = np.array([[1, 2, 3, 4, 5, 6], [6, 5, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    words, sentence = tf.function(TextGraph(model.text_encoder, 6))(ids)
    wanted_words, wanted_sentence = model.text_encoder(ids, training=False)
    np.testing.assert_allclose(words, wanted_words, atol=1e-6)
    np.testing.assert_allclose(sentence, wanted_sentence, atol=1e-6)
    assert np.abs(sentence[:3]).min() > 0 and not np.any(sentence[3])


def test_another_kind_of_text_encoder_is_refused():
    with pytest.raises(UserError, match="cannot be exported so. Received: Embedding"):
        TextGraph(keras.layers.Embedding(7, 4), 18)


def test_no_batch_norm_is_left(model, inputs):
    concrete = tf.function(ImageGraph(model.generator)).get_concrete_function(*inputs)
    operations = [operation.type for operation in concrete.graph.get_operations()]
    assert not {"Rsqrt", "Sqrt", "FusedBatchNormV3", "RandomUniform", "AssignVariableOp"} & set(operations)
    # Two norms a block and one each for five masks and the end: all of them are in the weights.
    convolutions = sum(kind == "Conv2D" for kind in operations)
    blocks, masks, shortcuts = 5, 5, sum(block.shortcut is not None for block in model.generator.blocks)
    assert convolutions == 2 * blocks + 2 * masks + shortcuts + 1
    assert all(not variable.trainable for variable in ImageGraph(model.generator).variables)


def test_the_styles_of_all_blocks_are_one_product_and_computed_once(model, inputs):
    graph = ImageGraph(model.generator)
    assert len(graph.styles.outs) == 2 * 2 * len(graph.blocks)
    styles = graph.styles(inputs[1])
    sscbn = model.generator.blocks[2].norm1
    np.testing.assert_allclose(
        styles[4][0][:, 0, 0], sscbn.scale_out(sscbn.scale_hidden(inputs[1])), rtol=1e-5, atol=1e-6
    )
