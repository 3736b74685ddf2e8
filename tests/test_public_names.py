"""The names that other people's code calls: that they are there, take what they are said to, and give what they say."""

import importlib
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

SIGNATURES = {
    "ssagan_tf.networks:Generator": "base_filters=64, image_size=256, noise_dim=100, sentence_dim=256",
    "ssagan_tf.networks:Generator.call": "self, noise, sentence, training=False",
    "ssagan_tf.networks:Discriminator": "base_filters=64, image_size=256, sentence_dim=256",
    "ssagan_tf.networks:Discriminator.call": "self, images, sentence",
    "ssagan_tf.networks:Discriminator.features": "self, images",
    "ssagan_tf.networks:Discriminator.logits": "self, features, sentence",
    "ssagan_tf.networks:TextEncoder": "vocabulary_size, sentence_dim=256, dropout=0.5",
    "ssagan_tf.networks:TextEncoder.call": "self, ids, training=False",
    "ssagan_tf.networks:ImageEncoder": "embedding_dim=256",
    "ssagan_tf.networks:ImageEncoder.call": "self, images, training=False",
    "ssagan_tf.losses:hinge_discriminator_loss": "real, mismatched, fake",
    "ssagan_tf.losses:matching_aware_gradient_penalty": "discriminator, images, sentence",
    "ssagan_tf.losses:word_loss": "regions, words, lengths, class_ids=None, gamma1=5.0, gamma2=5.0, gamma3=10.0",
    "ssagan_tf.losses:sentence_loss": "code, sentence, class_ids=None, gamma3=10.0",
    "ssagan_tf:SSAGAN": "generator, discriminator, text_encoder, image_encoder=None, vocabulary=None, "
    "text_training=None, damsm_weight=None, published=False",
    "ssagan_tf:SSAGAN.compile": "self, generator_optimizer=None, discriminator_optimizer=None, encoder_optimizer=None",
    "ssagan_tf:SSAGAN.train_step": "self, batch",
    "ssagan_tf:SSAGAN.generate": "self, captions, seed=0, count=1, truncation=None",
    "ssagan_tf:SSAGAN.generate_with_masks": "self, captions, seed=0, count=1, truncation=None",
    "ssagan_tf:SSAGAN.from_preset": "folder",
    "ssagan_tf:DAMSM": "text_encoder, image_encoder",
    "ssagan_tf:Vocabulary.build": "captions",
    "ssagan_tf.convert:load_generator": "model, state",
    "ssagan_tf.convert:load_discriminator": "model, state",
    "ssagan_tf.convert:load_text_encoder": "model, state",
    "ssagan_tf.convert:load_image_encoder": "model, state",
    "ssagan_tf.convert:to_published_state": "model",
}
DTYPES = ("float32", "float64")


def _plain(parameter: inspect.Parameter) -> str:
    has_default = parameter.default is not inspect.Parameter.empty
    return parameter.name + (f"={parameter.default!r}" if has_default else "")


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_public_name_takes_these_arguments_in_this_order(name):
    module, path = name.split(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    wanted = SIGNATURES[name].split(", ")
    parameters = list(inspect.signature(found).parameters.values())
    assert [_plain(parameter) for parameter in parameters[: len(wanted)]] == wanted
    # Whatever comes after may be left out.
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    assert all(rest.default is not rest.empty or rest.kind in kinds for rest in parameters[len(wanted) :])


@pytest.fixture
def model(tiny_model):
    """`model(dtype, **options)` -> compiled, open gates, so that text and noise matter."""

    def make(dtype, **options):
        made = tiny_model(dtype=dtype, **options)
        for block in [*made.generator.blocks, *made.discriminator.blocks]:
            block.gate.assign(0.5)
        made.compile()
        return made

    return make


def _batch(dtype):
    random = np.random.default_rng(3)
    return {
        "image": tf.constant(random.uniform(-1, 1, (3, 8, 8, 3)), dtype),
        "caption": tf.constant([[1, 2, 3, 4], [3, 2, 0, 0], [5, 0, 0, 0]]),
        "class_id": tf.constant([1, 2, 2]),
        "noise": tf.constant(random.standard_normal((3, 5)), dtype),
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_networks_and_a_step_called_directly_give_their_shapes_and_the_dtype_asked_for(model, dtype):
    networks, batch = model(dtype), _batch(dtype)
    words, sentence = networks.text_encoder(batch["caption"])
    assert (words.shape, sentence.shape, words.dtype, sentence.dtype) == ((3, 4, 6), (3, 6), dtype, dtype)
    image, masks = networks.generator(batch["noise"], sentence, training=False)
    assert (image.shape, image.dtype) == ((3, 8, 8, 3), dtype)
    assert [(mask.shape, mask.dtype) for mask in masks] == [((3, 4, 4, 1), dtype), ((3, 8, 8, 1), dtype)]
    discriminator = networks.discriminator
    logits = discriminator(image, sentence)
    assert (logits.shape, logits.dtype) == ((3,), dtype)
    np.testing.assert_allclose(logits, discriminator.logits(discriminator.features(image), sentence), rtol=1e-5)
    logs = networks.train_step(batch)
    assert set(logs) == {"discriminator_loss", "gradient_penalty", "generator_loss", "damsm_fake", "damsm_real"}
    assert all(value.dtype == dtype and np.isfinite(value) for value in logs.values())
    assert all(variable.dtype == dtype for variable in networks.generator.trainable_variables)


def test_a_policy_that_was_set_for_all_is_taken(tiny_model):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        made = tiny_model()
        made.compile()
        logs = made.train_step(_batch("float64"))
    finally:
        keras.config.set_dtype_policy(before)
    assert logs["discriminator_loss"].dtype == tf.float64
