"""A model with random weights, large enough that nothing is at its start and small enough to be drawn in no time."""

import pytest


@pytest.fixture(scope="module")
def random_model(randomize):
    """`random_model(image_size=64)` -> SSAGAN for sampling, whose pictures are no plain colour."""
    from ssagan_tf import SSAGAN, Vocabulary
    from ssagan_tf.networks import Generator, TextEncoder

    def make(image_size: int = 64):
        vocabulary = Vocabulary.build(["a red bird with yellow wings"])
        return SSAGAN(
            randomize(Generator(2, image_size, 5, 16, 3, name="generator")),
            None,
            randomize(TextEncoder(len(vocabulary), 16, 0.5, 5, name="text_encoder")),
            vocabulary=vocabulary,
        )

    return make
