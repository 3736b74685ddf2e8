"""A model with random weights, large enough that nothing is at its start and small enough to be drawn in no time."""

import pytest


@pytest.fixture(scope="module")
def random_model(tiny_model, randomize):
    """`random_model(image_size=64)` -> SSAGAN whose pictures are no plain colour."""

    def make(image_size: int = 64, **options):
        model = tiny_model(image_size, **options)
        randomize(model.generator)
        randomize(model.text_encoder)
        return model

    return make
