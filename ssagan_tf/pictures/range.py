"""From the model's range of values to 8 bits."""

import numpy as np

from ssagan_tf.errors import UserError


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Pictures in 8 bits by the published rule `(x + 1) * 127.5`, truncated; what lies outside [-1, 1] is clipped.

    Args:
        images: float, any shape, in [-1, 1].

    Returns:
        uint8 of the same shape.

    Raises:
        UserError: there are values that are no numbers.
    """
    images = np.asarray(images, np.float32)
    if np.isnan(images).any():
        raise UserError(
            "Pictures have no colours. Received: values that are not numbers. "
            "The model has diverged: use an earlier checkpoint."
        )
    return ((np.clip(images, -1.0, 1.0) + np.float32(1.0)) * np.float32(127.5)).astype(np.uint8)
