"""Colors of a mask."""

import numpy as np

# Colours of a mask from 0 to 1: hue from violet to yellow while lightness (L of OKLab) grows evenly.
_RAMP = np.array(
    [
        (13, 1, 49),
        (52, 3, 83),
        (102, 6, 101),
        (156, 13, 101),
        (204, 45, 84),
        (241, 89, 53),
        (252, 146, 58),
        (254, 199, 109),
        (254, 244, 179),
    ],
    np.float32,
)


def heat_colors(values: np.ndarray) -> np.ndarray:
    """float (H, W) in [0, 1] -> float32 (H, W, 3) colours in [0, 255]."""
    places = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(values, places, _RAMP[:, channel]) for channel in range(3)], -1).astype(np.float32)
