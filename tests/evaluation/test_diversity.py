"""Diversity per caption: 0 where noise changes nothing, that of other captions where captions change nothing."""

import types

import numpy as np
import pytest

from ssagan_tf.evaluation import diversity


def _scores(monkeypatch, tmp_path, feature_of):
    """Of a model whose "pictures" are captions and seeds, and their features a function of both."""

    def draw(model, texts, folder, seed, truncation):
        assert folder == tmp_path / "diversity" and truncation == 0.5
        return [(text, seed + index) for index, text in enumerate(texts)]

    def embed(extractor, resize, drawn):
        yield np.array([feature_of(int(text), seed) for text, seed in drawn], np.float32), None

    monkeypatch.setattr(diversity, "draw_pictures", draw)
    monkeypatch.setattr(diversity, "embed", embed)
    captions = [types.SimpleNamespace(text=str(index % 60)) for index in range(120)]
    protocol = types.SimpleNamespace(resize="pillow_bilinear")
    network = {"model": None, "extractor": None, "extractor_card": dict, "protocol": protocol}
    return diversity.diversity(
        types.SimpleNamespace(captions=captions, out=tmp_path, seed=3, truncation=0.5, **network)
    )


def test_a_model_that_ignores_its_noise_has_none(monkeypatch, tmp_path):
    found = _scores(monkeypatch, tmp_path, lambda text, seed: [text, 1])
    assert found["diversity"]["value"] == 0 < found["diversity_between"]["value"]
    assert found["diversity"]["card"]["seeds_per_caption"] == 8


def test_a_model_that_ignores_its_captions_has_that_between_them(monkeypatch, tmp_path):
    found = _scores(monkeypatch, tmp_path, lambda text, seed: np.random.default_rng(seed).normal(size=64))
    within, between = found["diversity"]["value"], found["diversity_between"]["value"]
    assert within == pytest.approx(between, rel=0.02) and within == pytest.approx(np.sqrt(2 * 64), rel=0.02)
    low, high = found["diversity"]["interval"]
    assert low < within < high < 1.03 * low


def test_the_mean_distance_is_that_of_all_pairs():
    assert diversity.mean_distance(np.array([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx(10 / 3)
