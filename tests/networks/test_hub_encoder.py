"""A SavedModel of others as text encoder: its sentences, what learns, and that it trains, exports and serves."""

import json
import urllib.request

import numpy as np
import pytest
import servers
import tensorflow as tf
from small_data import write_folder

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.config import ModelConfig, preset
from ssagan_tf.export import export
from ssagan_tf.networks import HubEncoder
from ssagan_tf.training import train
from ssagan_tf.training.run import Run, load_model
from ssagan_tf.weights import model_folder

SIZE, BUCKETS = 7, 50


class Hashed(tf.Module):
    """Sentences as sums of vectors of words' hashes: knows every word there is."""

    def __init__(self):
        super().__init__()
        self.table = tf.Variable(np.random.default_rng(0).normal(size=(BUCKETS, SIZE)).astype("float32"))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts):
        words = tf.strings.to_hash_bucket_fast(tf.strings.split(texts).to_tensor(""), BUCKETS)
        return tf.reduce_sum(tf.gather(self.table, words), 1)


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """Callable, as hub's second format is."""
    folder = tmp_path_factory.mktemp("hub") / "sentences"
    tf.saved_model.save(Hashed(), str(folder))
    return str(folder)


@pytest.fixture(scope="session")
def signature_only(tmp_path_factory):
    """Without a `__call__`: a signature is all there is."""
    folder = tmp_path_factory.mktemp("hub") / "signature"
    module = tf.Module()
    module.inner = Hashed()
    module.serve = tf.function(
        lambda texts: {"vectors": module.inner(texts)}, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return str(folder)


# === The encoder ===


def test_sentences_are_the_projected_vectors_of_whatever_words(saved_model, signature_only):
    texts = tf.constant(["a red bird", "an okapi, seldom seen"])
    vectors = Hashed()(texts).numpy()
    for folder in (saved_model, signature_only):
        encoder = HubEncoder(f"hub:{folder}", 5, 4)
        words, sentence = encoder(texts)
        assert words is None
        want = vectors @ encoder.project.kernel.numpy() + encoder.project.bias.numpy()
        np.testing.assert_allclose(sentence, want, atol=1e-5)


def test_the_projection_learns_and_the_source_only_if_it_is_told_to(saved_model, signature_only):
    texts = tf.constant(["a red bird"])
    for folder in (saved_model, signature_only):
        for trained in (False, True):
            encoder = HubEncoder(f"hub:{folder}", 5, 4, trained)
            assert len(encoder.trainable_variables) == 2 + trained
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(encoder(texts)[1] ** 2)
            gradients = tape.gradient(loss, [variable.value for variable in encoder.trainable_variables])
            assert all(np.abs(tf.convert_to_tensor(gradient)).sum() > 0 for gradient in gradients)
    # The variables are the SavedModel's own, so that what is learnt is used.
    before = encoder(texts)[1].numpy()
    encoder.source[0].assign(encoder.source[0] + 1.0)
    assert (encoder(texts)[1].numpy() != before).all()


def test_what_is_no_text_encoder_is_told_in_one_line(tmp_path, monkeypatch):
    numbers, scalars = tmp_path / "numbers", tmp_path / "scalars"
    module = tf.Module()
    module.serve = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([None, 3])])
    tf.saved_model.save(module, str(numbers), signatures=module.serve)
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"y": tf.strings.length(x)}, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(scalars), signatures=module.serve)
    problems = {
        str(tmp_path / "none"): "Put a SavedModel that turns strings into vectors",
        str(numbers): "does not read text",
        str(scalars): "gives no vectors. Received: .*int32",
        "https://tfhub.dev/google/none/1": "Or download https://tfhub.dev/google/none/1.*--text_encoder=hub:FOLDER",
    }
    for handle, problem in problems.items():
        with pytest.raises(UserError, match=problem) as refused:
            HubEncoder(f"hub:{handle}", 5, 4)
        assert "\n" not in str(refused.value)


def test_a_configuration_names_it(saved_model):
    sizes = {"image_size": 8, "base_filters": 1, "sentence_dim": 6, "mask_filters": 3, "noise_dim": 5}
    config = ModelConfig(**sizes, text_encoder=f"hub:{saved_model}", train_text_source=True, image_encoder=None)
    model = SSAGAN.from_model_config(config, Vocabulary.build(["a bird"]), sampling_only=True)
    assert isinstance(model.text_encoder, HubEncoder) and model.text_encoder.trained
    assert model_folder.model_config(model).text_encoder == config.text_encoder
    with pytest.raises(UserError, match="text_encoder does not exist. Received: elmo"):
        preset("small", "folder").override(text_encoder="elmo")


# === Trains, exports, serves ===


@pytest.fixture(scope="module")
def trained(saved_model, tmp_path_factory):
    """The run folder of a training on ten pictures, joint, with a short pretraining."""
    folder = write_folder(tmp_path_factory.mktemp("bird"), 10, (16, 16), lambda number: [f"a bird called {number}"])
    config = preset("small", "folder").override(
        data_dir=str(folder),
        image_size=8,
        base_filters=1,
        sentence_dim=6,
        steps=3,
        batch_size=4,
        pretraining_steps=2,
        pretraining_batch_size=4,
        sample_every=100,
        text_encoder=f"hub:{saved_model}",
        train_text_source=True,
        text_training="damsm",
    )
    run = Run(folder / "run")
    train.train(run, config)
    return run


def test_it_trains_and_draws_words_that_are_in_no_vocabulary(trained, saved_model):
    model = load_model(trained.folder, trust=True)
    assert model.generate(["okapi", "tapir"]).shape == (2, 8, 8, 3)
    one, other = model.encode(["okapi", "tapir"])
    assert (one != other).all()
    learnt, was = model.text_encoder.source[0].numpy(), tf.saved_model.load(saved_model).table.numpy()
    assert (learnt != was).any()


def test_it_is_exported_and_served(trained, tmp_path):
    model = load_model(trained.folder, trust=True)
    version = export(model, tmp_path / "birds")
    captions = ["an okapi", "a bird called 3"]
    want = model.generate(captions, seed=5)
    loaded = tf.saved_model.load(str(version))
    got = loaded.signatures["generate"](captions=tf.constant(captions), seed=tf.constant([5, 5], tf.int64))
    got = np.floor((got["images"].numpy() + 1) * 127.5).clip(0, 255)
    assert np.abs(got - want).max() <= 1
    assert "text, read by its text encoder; `seed`" in (tmp_path / "birds" / "SERVING.md").read_text()
    encoded = loaded.signatures["encode_text"](captions=tf.constant(captions))
    np.testing.assert_allclose(encoded["sentence"], model.encode(captions), atol=1e-5)
    assert encoded["known_words"].numpy().tolist() == [2, 4] and not encoded["unknown_words"].numpy().any()
    with servers.running(tmp_path / "birds") as server:
        address = f"{server.url}v1/models/birds:predict"
        body = json.dumps({"signature_name": "generate", "inputs": {"captions": captions, "seed": [5, 5]}}).encode()
        with urllib.request.urlopen(urllib.request.Request(address, body), timeout=60) as answer:
            images = np.array(json.load(answer)["outputs"]["images"])
    assert np.abs(np.floor((images + 1) * 127.5).clip(0, 255) - want).max() <= 1


def test_a_device_cannot_run_it_and_is_told_so(trained, tmp_path):
    with pytest.raises(UserError, match="cannot be exported so. Received: HubEncoder.*--format=saved_model alone"):
        export(load_model(trained.folder, trust=True), tmp_path / "birds", ["tflite"])
    assert list((tmp_path / "birds").iterdir()) == []
