"""Feature extractors as plugs: what they say of themselves, and that a picture's features are its own."""

import builtins
import hashlib
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.convert import to_published_state
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation import extractors
from ssagan_tf.evaluation.extractors import embed, open_extractor
from ssagan_tf.networks import ImageEncoder
from ssagan_tf.weights import pth

SIZE = 8


class _Means(tf.Module):
    """Features: the mean of each channel; logits: their negatives."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.factor = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3])])
    def __call__(self, images):
        return self.results(tf.reduce_mean(images, [1, 2], keepdims=True) * self.factor)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3])])
    def serve(self, images):
        found = self.results(tf.reduce_mean(images, [1, 2], keepdims=True) * self.factor)
        return found if isinstance(found, dict) else {"features": found}

    def results(self, means):
        return {
            "unnamed": {"a": means, "b": means},
            "both": {"pool_3": means, "logits": -means[:, 0, 0]},
            "pair": (means, -means),
            "one": means,
        }[self.shape]


def _saved(folder, shape="both", signature=True):
    module = _Means(shape)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve} if signature else None)
    return str(folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return _saved(tmp_path_factory.mktemp("saved"))


def _pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, [count, SIZE, SIZE, 3], np.uint8)


def test_a_saved_model_is_called_with_centred_pixels_and_says_what_it_is(saved):
    extractor = open_extractor(saved)
    assert (extractor.name, extractor.image_size, extractor.value_range) == (saved, SIZE, "(x - 128) / 128")
    pictures = _pictures(3)
    (found, logits), *_ = embed(extractor, "tf1_bilinear", [pictures])
    means = (pictures.astype(np.float64).mean((1, 2)) - 128) / 128
    np.testing.assert_allclose(found, means, atol=1e-6)
    np.testing.assert_allclose(logits, -means, atol=1e-6)


@pytest.mark.parametrize("shape, has_logits", [("pair", True), ("one", False)])
def test_a_saved_model_may_give_a_pair_or_features_alone(tmp_path, monkeypatch, shape, has_logits):
    monkeypatch.setattr(extractors, "_INCEPTION_SIZE", SIZE)  # which is taken where no signature tells another
    extractor = open_extractor(_saved(tmp_path, shape, signature=False))
    (found, logits), *_ = embed(extractor, "tf1_bilinear", [_pictures(3)])
    assert found.shape == (3, 3)
    assert (logits is not None) == has_logits


def test_the_hash_is_that_of_graph_and_weights(saved, tmp_path):
    changed = _saved(tmp_path / "changed")
    assert open_extractor(saved).sha256 == open_extractor(saved).sha256
    weights = next(pathlib.Path(changed, "variables").glob("*.data*"))
    before = open_extractor(changed).sha256
    data = bytearray(weights.read_bytes())
    data[0] ^= 1
    weights.write_bytes(data)
    assert extractors._folder_sha256(pathlib.Path(changed)) != before


def test_features_do_not_depend_on_the_batch(saved):
    extractor = open_extractor(saved)
    pictures = _pictures(120)
    whole = np.concatenate([found for found, _ in embed(extractor, "tf1_bilinear", [pictures])])
    cut = np.concatenate([found for found, _ in embed(extractor, "tf1_bilinear", np.split(pictures, [1, 7, 7, 90]))])
    alone = np.concatenate([found for found, _ in embed(extractor, "tf1_bilinear", [pictures[77:78]])])
    np.testing.assert_array_equal(whole, cut)
    np.testing.assert_array_equal(whole[77:78], alone)
    assert len(whole) == 120


def test_keras_inception_gives_its_pool_and_logits_and_hashes_its_weights():
    # Keras's builder with random weights: ImageNet's are a download.
    keras.utils.set_random_seed(0)
    whole = keras.applications.InceptionV3(weights=None, classifier_activation=None)
    extractor = extractors._keras_extractor(whole)
    images = np.random.default_rng(0).uniform(-1, 1, [1, 299, 299, 3]).astype(np.float32)
    found, logits = extractor.call(tf.constant(images))
    assert extractor.value_range == "(x - 127.5) / 127.5"
    assert found.shape == (1, 2048)
    np.testing.assert_allclose(logits, whole(images, training=False), rtol=1e-3, atol=1e-5)
    kernel, bias = whole.layers[-1].get_weights()
    np.testing.assert_allclose(found.numpy() @ kernel + bias, logits, rtol=1e-3, atol=1e-5)
    assert extractor.sha256 == hashlib.sha256(b"".join(w.tobytes() for w in whole.get_weights())).hexdigest()


def test_missing_weights_say_in_one_line_what_to_put_where(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure:\n no network")

    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    with pytest.raises(UserError, match=r"URL fetch failure: no network.*Download https://\S+\.h5 to \S+\.h5") as error:
        open_extractor("inception_keras")
    assert "\n" not in str(error.value)


def test_an_address_without_tensorflow_hub_says_in_one_line_what_to_do(monkeypatch):
    usual = builtins.__import__

    def without_hub(name, *rest):
        if name == "tensorflow_hub":
            raise ImportError("No module named 'tensorflow_hub'")
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_hub)
    with pytest.raises(UserError, match=r"pip install -e '\.\[hub\]'.*tf-hub-format=compressed") as error:
        open_extractor(extractors.TFGAN_INCEPTION)
    assert "\n" not in str(error.value)


def test_what_is_no_extractor_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such feature extractor"):
        open_extractor("inceptoin")
    (tmp_path / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be read"):
        open_extractor(str(tmp_path))


def test_a_saved_model_whose_results_have_no_known_name_is_refused_when_it_is_opened(tmp_path):
    with pytest.raises(UserError, match="gives no features. Received: .* with a, b"):
        open_extractor(_saved(tmp_path, "unnamed"))


def test_torchvisions_inception_is_read_without_torch_and_sees_pixels_as_pytorchs_fid_scripts_show_them(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    with pytest.raises(UserError, match=r"no inception_v3_google-\*.pth in .*Download https://\S+\.pth to there"):
        open_extractor("inception_torchvision")
    keras.utils.set_random_seed(0)
    encoder = ImageEncoder(1)
    random = np.random.default_rng(0)
    state = {name: value for name, value in to_published_state(encoder).items() if not name.startswith("emb_")}
    state |= {"fc.weight": random.normal(size=[1000, 2048]).astype(np.float32), "fc.bias": np.ones(1000, np.float32)}
    folder.mkdir(parents=True)
    path = folder / "inception_v3_google-12345678.pth"
    path.write_bytes(b"of the hash alone")  # writing needs PyTorch; what reads has its own tests
    whole = state | {"AuxLogits.fc.bias": np.zeros(3, np.float32)}
    monkeypatch.setattr(pth, "read", lambda given: whole if given == path else None)
    extractor = open_extractor("inception_torchvision")

    pictures = random.integers(0, 256, [1, 299, 299, 3], np.uint8)
    ((found, logits),) = embed(extractor, "pillow_bilinear", [pictures])
    x = pictures.astype(np.float64) / 255
    x = x * (np.array([0.229, 0.224, 0.225]) / 0.5) + (np.array([0.485, 0.456, 0.406]) - 0.5) / 0.5
    _, expected = encoder.trunk(x.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(logits, found @ state["fc.weight"].T + 1, rtol=1e-3, atol=1e-3)

    # The first unit in plain NumPy: 3x3, stride 2, no padding; batch norm of epsilon 0.001; ReLU.
    name = "Conv2d_1a_3x3"
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), axis=(0, 1))[::2, ::2]
    y = np.einsum("hwcij,ocij->hwo", windows, state[f"{name}.conv.weight"].astype(np.float64))
    norm = {part: state[f"{name}.bn.{part}"] for part in ("weight", "bias", "running_mean", "running_var")}
    y = (y - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-3) * norm["weight"] + norm["bias"]
    first = encoder.units[name](x.astype(np.float32))[0]
    np.testing.assert_allclose(first, np.maximum(y, 0), rtol=1e-4, atol=1e-4)
