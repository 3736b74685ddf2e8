"""Trains the attribute network on birds whose attributes are independent."""

from __future__ import annotations

import os

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf

from ssagan_tf.core import files
from ssagan_tf.core.progress import Bar
from ssagan_tf.data.synthbirds import ATTRIBUTES, Bird, Dice, SynthBirds, draw
from ssagan_tf.evaluation.synthbirds.attribute_network import IMAGE_SIZE, AttributeNetwork, named_variables, scaled

_BATCH = 64
_SHIFT = 2  # pixels; a generated bird does not stand where a drawn one would
_NOISE = 0.1  # largest standard deviation; generated pictures are less clean than drawn ones


def independent_bird(dice: Dice) -> Bird:
    """A bird with each attribute by lot, so that no colour tells of another; bars differ from the wing they are on."""
    values = {name: dice.choice(choices) for name, choices in ATTRIBUTES.items()}
    values["wing_bars"] = dice.choice([bars for bars in ATTRIBUTES["wing_bars"] if bars != values["wing"]])
    return Bird(**values, variant=int(dice.number() * 2**32))


def independent_birds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and truth of independent birds: uint8 (count, 64, 64, 3), int32 (count, attributes)."""
    return _drawn([independent_bird(Dice(seed, "independent", index)) for index in range(count)])


def test_birds(count: int) -> tuple[np.ndarray, np.ndarray]:
    """As `independent_birds`, the first of synthbirds' test split."""
    source = SynthBirds(IMAGE_SIZE)
    return _drawn([source.bird("test", index) for index in range(count)])


def _drawn(birds: list[Bird]) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.empty([len(birds), IMAGE_SIZE, IMAGE_SIZE, 3], np.uint8)
    with Bar(len(birds), "birds") as bar:
        for picture, bird in zip(pictures, birds, strict=True):
            picture[:] = draw(bird, IMAGE_SIZE)
            bar.step()
    truth = [[values.index(getattr(bird, name)) for name, values in ATTRIBUTES.items()] for bird in birds]
    return pictures, np.array(truth, np.int32)


def train(pictures: np.ndarray, truth: np.ndarray, epochs: int, seed: int) -> AttributeNetwork:
    """A network trained on pictures that are shifted, softened and made noisy by chance.

    Args:
        pictures: uint8 (N, 64, 64, 3).
        truth: int32 (N, attributes), places in `ATTRIBUTES`.
        epochs: rounds through them.
        seed: of weights, order and augmentation.
    """
    keras.utils.set_random_seed(seed)
    network = AttributeNetwork(name="attribute_network")
    order = np.random.default_rng(seed)
    steps = epochs * (len(pictures) // _BATCH)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=2e-3, warmup_steps=steps // 20)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-2)
    optimizer.build(network.trainable_variables)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            _, logits = network(_augmented(images), training=True)
            loss = tf.add_n(
                [
                    tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels[:, place], logits[name]))
                    for place, name in enumerate(ATTRIBUTES)
                ]
            )
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    with Bar(steps) as bar:
        for _ in range(epochs):
            shuffled = order.permutation(len(pictures))
            for first in range(0, len(pictures) - _BATCH + 1, _BATCH):
                chosen = shuffled[first : first + _BATCH]
                bar.step({"loss": float(step(pictures[chosen], truth[chosen]))})
    return network


def _augmented(images: tf.Tensor) -> tf.Tensor:
    """uint8 (B, S, S, 3) -> float32 in about [-1, 1], the same attributes."""
    images = scaled(images)
    size, count = images.shape[1], tf.shape(images)[0]
    margins = [[0, 0], [_SHIFT, _SHIFT], [_SHIFT, _SHIFT], [0, 0]]
    images = tf.image.random_crop(tf.pad(images, margins, "REFLECT"), [count, size, size, 3])
    soft = tf.random.uniform([count, 1, 1, 1])
    images = images + soft * (tf.nn.avg_pool2d(images, 3, 1, "SAME") - images)
    noise = tf.random.normal(tf.shape(images)) * tf.random.uniform([count, 1, 1, 1], 0, _NOISE)
    return images + noise


def accuracies(network: AttributeNetwork, pictures: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Share of pictures that are read rightly, for each attribute."""
    found = network.attributes(network.embed(pictures))
    return {name: float(np.mean(found[name] == truth[:, place])) for place, name in enumerate(ATTRIBUTES)}


def round_to_half(network: AttributeNetwork) -> None:
    """Rounds the kernels to 16 bits, as they are written, so that what is measured is what is shipped."""
    for variable in network.variables:
        if len(variable.shape) > 1:
            variable.assign(variable.numpy().astype(np.float16))


def save(network: AttributeNetwork, path: str | os.PathLike) -> None:
    """Writes the weights, kernels in 16 bits. Raises UserError where they cannot be written."""
    state = {name: np.asarray(variable.numpy()) for name, variable in named_variables(network).items()}
    state = {name: np.asarray(value, np.float16 if np.ndim(value) > 1 else None) for name, value in state.items()}
    files.write_atomically(path, safetensors.numpy.save(state))
