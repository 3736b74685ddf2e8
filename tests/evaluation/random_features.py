"""Features of pictures that there are not."""

import numpy as np


def correlated(count: int, dimensions: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    """(count, dimensions), normal, each dimension with those of the others in it."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=[dimensions, dimensions])
    return random.normal(size=[count, dimensions]) @ mixed + mean
