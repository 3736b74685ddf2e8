"""A bird's picture and its masks: smooth flat shapes on one fine grid, then soft light."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ssagan_tf.data.synthbirds.attributes import Bird
from ssagan_tf.data.synthbirds.canvas import Canvas, Placement, points
from ssagan_tf.data.synthbirds.plumage import PARTS, paint_bird
from ssagan_tf.data.synthbirds.scenery import backdrop, paint_before, paint_behind

_BODY = ("crown", "wing", "belly", "breast", "eye", "wing_bars")
_WING = ("wing", "wing_bars")


def draw(bird: Bird, size: int) -> Image.Image:
    """The picture, RGB, `size` x `size`; depends on its arguments alone."""
    canvas, place = _paint(bird, size)
    flat = canvas.picture(backdrop(bird, size))
    lit = _shine(flat * _light(canvas)[..., None], canvas, place)
    return Image.fromarray(np.clip(lit + 0.5, 0, 255).astype(np.uint8))


def part_masks(bird: Bird, size: int) -> dict[str, np.ndarray]:
    """What is visible of each part: (size, size) float32 in [0, 1], antialiased.

    Keys are `PARTS` and "background", which add up to 1, and "bird", the sum of all parts.
    """
    canvas, _ = _paint(bird, size)
    masks = {part: canvas.coverage(part) for part in PARTS}
    masks["bird"] = np.sum(list(masks.values()), 0)
    masks["background"] = 1 - masks["bird"]
    return {name: mask.astype(np.float32) for name, mask in masks.items()}


def _paint(bird: Bird, size: int) -> tuple[Canvas, Placement]:
    canvas, place = Canvas(size), Placement(bird)
    paint_behind(canvas, place, bird)
    paint_bird(canvas, place, bird)
    paint_before(canvas, place, bird)
    return canvas, place


def _light(canvas: Canvas) -> np.ndarray:
    """What to multiply flat colours by, (size, size): body, wing and tail each swell towards a light above them,
    and the wing throws a shadow on the body."""
    body, wing, tail = canvas.mask(*_BODY), canvas.mask(*_WING), canvas.mask("tail")
    light = 1 - 0.42 * _shade(body, 0.05) - 0.26 * _shade(wing, 0.03) - 0.24 * _shade(tail, 0.02)
    under = np.clip(_numbers(body) - _numbers(wing), 0, 1)
    return light - 0.22 * under * _lowered(_blurred(wing, 0.02), 0.025)


def _shade(mask: Image.Image, softness: float) -> np.ndarray:
    """How far each point of a shape is turned away from the light: 0 inside, more towards its lower edge."""
    return _numbers(mask) * (1 - _lowered(_blurred(mask, softness), -softness * 0.45))


def _shine(picture: np.ndarray, canvas: Canvas, place: Placement) -> np.ndarray:
    """A soft gleam on top of the head."""
    x = (np.arange(canvas.size, dtype=np.float32) + 0.5) * (100 / canvas.size)
    centre_x, centre_y = place(points("60,19"))[0].tolist()  # plain floats: float32 stays float32
    gleam = np.exp(-((x - centre_x) ** 2 + (x[:, None] - centre_y) ** 2) / 90)
    return picture + (255 - picture) * (0.16 * gleam * _numbers(canvas.mask("crown")))[..., None]


def _numbers(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask, np.float32) / 255


def _blurred(mask: Image.Image, softness: float) -> np.ndarray:
    return _numbers(mask.filter(ImageFilter.GaussianBlur(softness * mask.width)))


def _lowered(field: np.ndarray, share: float) -> np.ndarray:
    """The field moved down by a share of its height, its edge row repeated."""
    rows = np.arange(len(field)) - round(share * len(field))
    return field[np.clip(rows, 0, len(field) - 1)]
