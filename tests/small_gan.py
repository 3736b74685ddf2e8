"""The GAN and the pictures that `two_devices.py` and `two_workers.py` train with, each in a process of its own."""

import keras
import numpy as np
import tensorflow as tf

from ssagan_tf import SSAGAN
from ssagan_tf.networks import Discriminator, Generator, TextEncoder

BATCH = 4
CAPTIONS = np.array([[1, 2, 3, 6], [4, 5, 2, 0], [6, 1, 0, 0], [3, 0, 0, 0]])
CLASS_IDS = np.array([7, 9, 9, 1])


@keras.saving.register_keras_serializable()
class Colours(keras.Model):
    """An image encoder."""

    def __init__(self):
        super().__init__()
        self.regions, self.code = keras.layers.Dense(6), keras.layers.Dense(6)
        self(np.zeros((1, 8, 8, 3), "float32"))

    def call(self, images, training=False):
        return self.regions(images), self.code(tf.reduce_mean(images, [1, 2]))


def random_pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, 8, 8, 3)).astype("float32")


def gan(precision: str | None = None, **options) -> SSAGAN:
    """Not compiled."""
    generator = Generator(2, 8, 5, 6, 3, name="g", dtype=precision)
    discriminator = Discriminator(2, 8, 6, name="d", dtype=precision)
    return SSAGAN(generator, discriminator, TextEncoder(7, 6, 0.5, 5, name="t"), Colours(), **options)


def gan_by_plain_steps(**options) -> SSAGAN:
    """Where a gradient is zero but for rounding Adam steps by its sign; plain steps are the honest comparison."""
    model = gan(**options)
    for block in [*model.generator.blocks, *model.discriminator.blocks]:
        block.gate.assign(1.0)
    model.compile(*(keras.optimizers.SGD(0.05) for _ in range(3)))
    return model
