"""The metric: pairs that differ in one word alone, masks of the picture before, and where the parts of a bird are."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import SSAGAN, UserError
from ssagan_tf.config import Config
from ssagan_tf.data.pipeline import vocabulary_of
from ssagan_tf.data.synthbirds import (
    ATTRIBUTES,
    COLOURS,
    Caption,
    SynthBirds,
    captions_with_attributes,
    draw,
    part_masks,
)
from ssagan_tf.evaluation.masks import metric
from ssagan_tf.evaluation.masks.swaps import choose_swap
from ssagan_tf.evaluation.synthbirds import attribute_network
from ssagan_tf.evaluation.synthbirds.most_alike import likest_birds
from ssagan_tf.noise import normals

SOURCE = SynthBirds(16, count={"train": 100, "test": 20})


class AllKnowing:
    """Stands in for the attribute network: knows what the birds it was made for look like."""

    def __init__(self, birds):
        self._birds = birds

    def embed(self, pictures):
        return np.arange(len(pictures))

    def attributes(self, features):
        found = {name: np.array([ATTRIBUTES[name].index(getattr(b, name)) for b in self._birds]) for name in ATTRIBUTES}
        return {name: places[features] for name, places in found.items()}


class Painter:
    """Stands in for a model: the caption's colour word decides the left half, and the masks say so."""

    def __init__(self, mask=(1.0, 0.0)):
        self.generator = types.SimpleNamespace(noise_dim=5, blocks=[None] * 3)
        self.vocabulary = set(COLOURS)
        self._mask = mask

    def noise_of(self, seeds, truncation):
        return normals(seeds, 5)

    def with_masks(self, texts, noise):
        # Far apart for any two words, for a word's place among the colours decides.
        places = [tf.cast(tf.strings.regex_full_match(texts, f".*{colour}.*"), tf.float32) for colour in COLOURS]
        left = tf.add_n([place * (0.12 * 2**index) for index, place in enumerate(places)]) % 2.0 - 1.0
        left = tf.broadcast_to(left[:, None, None, None], [texts.shape[0], 16, 8, 3])
        right = tf.broadcast_to(tf.tanh(noise[:, :1])[:, :, None, None], [texts.shape[0], 16, 8, 3])
        return tf.concat([left, right], 2), [self._painted(texts.shape[0], size) for size in (4, 8, 16)]

    def _painted(self, count, size):
        return tf.concat([tf.fill([count, size, size // 2, 1], value) for value in self._mask], 2)


@pytest.fixture(scope="module")
def model(randomize):
    config = Config().override(image_size=16, base_filters=1, noise_dim=5, sentence_dim=6, mask_filters=3)
    made = SSAGAN.from_model_config(config.model, vocabulary_of(SOURCE), sampling_only=True)
    randomize(made.generator, 1)
    randomize(made.text_encoder, 1)
    return made


def evaluation(model, data=SOURCE, count=20, captions=None):
    birds = [SOURCE.bird("test", index) for index in range(count)]
    captions = captions or [captions_with_attributes(bird)[0] for bird in birds]
    return types.SimpleNamespace(model=model, data=data, count=count, captions=captions, seed=3, truncation=None)


def test_a_pair_is_what_the_model_draws_of_both_captions_from_one_seed(model):
    wanted = evaluation(model)
    swaps = [choose_swap(caption, 0, model.vocabulary) for caption in wanted.captions]
    rows = [index for index, swap in enumerate(swaps) if swap is not None][:9]  # more than are drawn together
    texts, swaps, seeds = [wanted.captions[i].text for i in rows], [swaps[i] for i in rows], np.array(rows) + 100
    pairs = list(metric.drawn_pairs(model, texts, swaps, seeds, 0.8))
    assert len(pairs) == 9
    for text, swap, seed, pair in zip(texts, swaps, seeds, pairs, strict=True):
        before, stages = model.generate_with_masks(text, seed=int(seed), truncation=0.8)
        after = model.generate(swap.caption, seed=int(seed), truncation=0.8)
        for one, other in ((pair.before, before[0]), (pair.after, after[0])):
            assert np.abs(one.astype(int) - other).max() <= 1
        for one, other in zip(pair.masks, stages, strict=True):
            np.testing.assert_allclose(one, other[0], atol=1e-5)


@pytest.mark.parametrize("mask, area, overlap", [((1.0, 0.0), 1, 1), ((0.2, 0.6), 0, 0), ((0.7, 0.7), 0.5, 0.5)])
def test_masks_of_what_the_word_changes_are_perfect_and_others_are_not(mask, area, overlap):
    scores = metric.masks(evaluation(Painter(mask), data=None))
    assert set(scores) == {"masks"} and set(scores["masks"]["stages"]) == {"changed"}
    score = scores["masks"]
    assert 10 < score["pictures"] <= score["card"]["pairs"] <= 20
    assert score["value"] == area
    stages = score["stages"]["changed"]
    assert set(stages) == {"4x4", "8x8", "16x16"} and all(stage["area"] == area for stage in stages.values())
    assert stages["16x16"]["iou"] == overlap and stages["16x16"]["share"] == 0.5
    json.dumps(scores)


def test_of_drawn_birds_the_bird_its_parts_and_the_parts_of_the_word_are_scored(monkeypatch, tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"weights")
    monkeypatch.setattr(attribute_network, "WEIGHTS", weights)
    monkeypatch.setattr(attribute_network, "attribute_network", lambda: AllKnowing([SOURCE.bird("test", 0)]))
    found = metric.masks(evaluation(Painter()))
    assert set(found) == {"masks", "masks_bird"}
    stages = found["masks_bird"]["stages"]
    assert set(stages) == {"bird", "word", "crown", "wing", "belly", "breast", "tail"}
    # All pictures are taken for one bird, whose size is known.
    shares = {name: stages[name]["16x16"]["share"] for name in ("bird", "wing")}
    assert shares["bird"] > shares["wing"] > 0.02 and 0 < stages["word"]["16x16"]["share"] < shares["bird"]
    assert found["masks_bird"]["value"] == pytest.approx(np.mean([each["area"] for each in stages["bird"].values()]))
    json.dumps(found)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(UserError, match="No caption names a colour. Received: .*Leave 'masks' out"):
        metric.masks(evaluation(Painter(), None, 4, [Caption("a small bird", {})] * 4))
    deaf = Painter()
    deaf.with_masks = lambda texts, noise: Painter.with_masks(deaf, tf.fill(tf.shape(texts), "red"), noise)
    with pytest.raises(UserError, match="No picture could be scored. Received: none with 'changed'. Draw"):
        metric.masks(evaluation(deaf, None))


def test_the_likest_bird_has_the_parts_where_the_picture_has_them():
    birds = [SynthBirds(64).bird("test", index) for index in range(4)]
    pictures = np.stack([np.asarray(draw(bird, 64)) for bird in birds])
    for bird, found in zip(birds, likest_birds(pictures, AllKnowing(birds)), strict=True):
        truth, guess = part_masks(bird, 64), part_masks(found, 64)
        for name, least in (("bird", 0.88), ("wing", 0.7), ("crown", 0.7), ("belly", 0.6)):
            one, other = truth[name] >= 0.5, guess[name] >= 0.5
            assert (one & other).sum() / (one | other).sum() > least, name
