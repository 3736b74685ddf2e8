"""The compact image encoder: regions and a code of any picture size, and a way to a file and back."""

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.networks import CompactImageEncoder


def pictures(size: int, batch: int = 2):
    return np.random.default_rng(0).uniform(-1, 1, (batch, size, size, 3)).astype("float32")


@pytest.mark.parametrize("size", [8, 16, 64, 128])
def test_a_region_is_eight_pixels_wide(size):
    regions, code = CompactImageEncoder(6, size, base_filters=2)(pictures(size))
    assert regions.shape == (2, size // 8, size // 8, 6) and code.shape == (2, 6)
    assert regions.dtype == code.dtype == "float32"


def test_every_weight_is_trained_by_regions_and_code(randomize):
    encoder = randomize(CompactImageEncoder(6, 16, base_filters=2))
    with tf.GradientTape() as tape:
        regions, code = encoder(pictures(16), training=True)
        loss = tf.reduce_sum(regions**2) + tf.reduce_sum(code**2)
    for variable, gradient in zip(
        encoder.trainable_variables, tape.gradient(loss, encoder.trainable_variables), strict=True
    ):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.path
