"""Which network of a model of rendered birds loses an attribute that captions name."""

from __future__ import annotations

import collections
import typing

import numpy as np
import tensorflow as tf

from ssagan_tf.data.synthbirds import ATTRIBUTES, Bird, Caption, SynthBirds, captions_with_attributes, draw
from ssagan_tf.errors import UserError

if typing.TYPE_CHECKING:
    from ssagan_tf.ssagan import SSAGAN

_SWAPS = 150  # captions of each attribute in which its word is swapped
_TOGETHER = 500  # captions
_RIDGE = 10.0


class Probed(typing.NamedTuple):
    """What is found of an attribute; all but `swaps` in [0, 1].

    Attributes:
        named: share of captions that name it.
        probe: share of test captions whose value a linear probe reads off the sentence embedding.
        frequent: share of the most frequent value.
        discriminator, image_encoder: share of real birds whose true caption they prefer to the swapped one.
        swaps: how many were asked about.
    """

    named: float
    probe: float
    frequent: float
    discriminator: float
    image_encoder: float
    swaps: int


def probe(model: SSAGAN, birds: int, seed: int = 0) -> dict[str, Probed]:
    """By attribute; those that no caption names are left out.

    Args:
        model: with discriminator and image encoder.
        birds: training birds whose captions the probe learns from; it is tested on a third as many others.
        seed: of the words swapped in.

    Raises:
        UserError: the model lacks the networks that only training needs.
    """
    if model.discriminator is None or model.image_encoder is None:
        raise UserError(
            "There is nothing to probe. Received: a model without discriminator or image encoder. "
            "Give a run, or a model folder with training.safetensors."
        )
    source = SynthBirds(model.generator.image_size)
    learnt, tested = (_described(source, split, n) for split, n in (("train", birds), ("test", birds // 3)))
    sentences = [_encode(model, [caption.text for caption, _ in part]) for part in (learnt, tested)]
    random = np.random.default_rng(seed)
    found = {}
    for name, values in ATTRIBUTES.items():
        known = [np.array([name in caption.attributes for caption, _ in part]) for part in (learnt, tested)]
        swapped = _swapped(tested, name, model, random)
        if not (known[0].any() and known[1].any() and swapped):
            continue
        targets = [
            np.array([values.index(caption.attributes[name]) for caption, _ in part if name in caption.attributes])
            for part in (learnt, tested)
        ]
        inputs = [part[rows] for part, rows in zip(sentences, known, strict=True)]
        accuracy = _probe(inputs[0], targets[0], inputs[1], targets[1], len(values))
        frequent = np.bincount(targets[1]).max() / len(targets[1])
        prefers = _preferences(model, swapped)
        found[name] = Probed(float(known[0].mean()), accuracy, float(frequent), *prefers, len(swapped))
    return found


def _described(source: SynthBirds, split: str, count: int) -> list[tuple[Caption, Bird]]:
    birds = [source.bird(split, index) for index in range(count)]
    return [(caption, bird) for bird in birds for caption in captions_with_attributes(bird)]


def _encode(model: SSAGAN, texts: list[str]) -> np.ndarray:
    parts = [texts[first : first + _TOGETHER] for first in range(0, len(texts), _TOGETHER)]
    return np.concatenate([model.encode(part) for part in parts])


def _probe(inputs, targets, test_inputs, test_targets, values: int) -> float:
    """Accuracy of a ridge regression to one-hot targets on standardised embeddings."""
    mean, deviation = inputs.mean(0), inputs.std(0) + 1e-9
    x, z = (np.c_[(part - mean) / deviation, np.ones(len(part))] for part in (inputs, test_inputs))
    weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ np.eye(values)[targets])
    return float(((z @ weights).argmax(1) == test_targets).mean())


def _swapped(described, name: str, model: SSAGAN, random) -> list[tuple[Bird, str, str]]:
    """Captions that have the attribute's word just once, and the same with another value's word."""
    found = []
    for caption, bird in described:
        value, words = caption.attributes.get(name), collections.Counter(caption.text.split())
        others = [other for other in ATTRIBUTES[name] if other != value and other in model.require_vocabulary()]
        if value is None or words[value] != 1 or not others:
            continue
        new = str(random.choice(others))
        text = " ".join(new if word == value else word for word in caption.text.split())
        found.append((bird, caption.text, text))
        if len(found) == _SWAPS:
            break
    return found


def _preferences(model: SSAGAN, swapped: list[tuple[Bird, str, str]]) -> tuple[float, float]:
    size, discriminator, image_encoder = model.generator.image_size, model.require_discriminator(), model.image_encoder
    assert image_encoder is not None
    pictures = tf.constant(np.stack([np.asarray(draw(bird, size), np.float32) / 127.5 - 1 for bird, _, _ in swapped]))
    captions = [text for _, text, _ in swapped], [text for _, _, text in swapped]
    true, false = (_encode(model, texts) for texts in captions)
    features = discriminator.features(pictures)
    logits = [discriminator.logits(features, tf.constant(part)).numpy() for part in (true, false)]
    code = image_encoder(pictures, training=False)[1].numpy()
    cosines = [(code * part).sum(1) / np.linalg.norm(part, axis=1) for part in (true, false)]
    return float((logits[0] > logits[1]).mean()), float((cosines[0] > cosines[1]).mean())
