"""What is around the bird: a pale backdrop, and a branch, water, or the open sky."""

from __future__ import annotations

import math

import numpy as np

from ssagan_tf.data.synthbirds.attributes import BACKGROUNDS, Bird, Dice
from ssagan_tf.data.synthbirds.canvas import SCENERY, Canvas, Placement, curve, points, tone
from ssagan_tf.data.synthbirds.plumage import paint_legs, silhouette

_BARK = (132, 98, 74)
_LEAF = (142, 186, 124)
_WATER = (138, 192, 220)
_LEAF_SHAPE = "0,0 3.5,-3.2 8,-3 12,0 8,2.6 3.5,2.4 0,0"


def backdrop(bird: Bird, size: int) -> np.ndarray:
    """A gradient that grows paler downwards, with soft spots of light or clouds, (size, size, 3) float32."""
    top = np.asarray(BACKGROUNDS[bird.background], np.float32)
    x = (np.arange(size, dtype=np.float32) + 0.5) * (100 / size)
    y = x[:, None]
    dice, sky = Dice(bird.variant, "backdrop"), bird.setting == "sky"
    whiteness = (0.55 if sky else 0.75) * y / 100 + np.zeros_like(x)
    for centre_x, centre_y, radius in _clouds(dice) if sky else _spots(dice):
        distance = np.sqrt((x - centre_x) ** 2 + (y - centre_y) ** 2)
        spot = np.clip((radius - distance) / (2.5 if sky else 5) + 0.5, 0, 1)
        whiteness = np.maximum(whiteness, (0.85 if sky else 0.3) * spot)
    return top + (253 - top) * whiteness[..., None]


def paint_behind(canvas: Canvas, place: Placement, bird: Bird) -> None:
    if bird.setting == "branch":
        _paint_branch(canvas, place, bird)
    if bird.setting == "water":
        _paint_shore(canvas, place, bird)


def paint_before(canvas: Canvas, place: Placement, bird: Bird) -> None:
    if bird.setting == "branch":
        hips = place(points("45,82 57,82"))
        ground = hips + (0.4, 0)
        ground[:, 1] = _branch_height(bird, place, ground[:, 0]) + 0.6
        paint_legs(canvas, hips, ground, -1 if bird.facing == "left" else 1)
    if bird.setting == "water":
        _paint_water(canvas, place, bird)


def _spots(dice: Dice) -> list[tuple[float, float, float]]:
    return [(dice.between(0, 100), dice.between(5, 60), dice.between(8, 18)) for _ in range(3)]


def _clouds(dice: Dice) -> list[tuple[float, float, float]]:
    discs: list[tuple[float, float, float]] = []
    for left, right, high, low in ((6, 20, 12, 40), (80, 94, 50, 80), (20, 40, 84, 92)):
        x, y = dice.between(left, right), dice.between(high, low)
        discs += [(x - 10, y + 1.5, 5), (x - 1, y - 1, 8), (x + 9, y + 1, 6)]
    return discs


def _branch_height(bird: Bird, place: Placement, x: np.ndarray) -> np.ndarray:
    """y of the branch's upper edge: a gentle bow through where the bird stands."""
    dice = Dice(bird.variant, "branch")
    slope, bow = dice.between(-0.06, 0.06), dice.between(0.0004, 0.0012)
    stand_x, stand_y = place(points("51,92"))[0]
    return stand_y + slope * (x - stand_x) + bow * (x - stand_x) ** 2


def _paint_branch(canvas: Canvas, place: Placement, bird: Bird) -> None:
    x = np.linspace(-4, 104, 28)
    top = _branch_height(bird, place, x)
    for colour, start, end in ((_BARK, 0, 5.2), (tone(_BARK, -0.16), 0.5, 1.7)):
        thick = np.linspace(1.12, 0.88, len(x))
        upper, lower = np.stack([x, top + start * thick], 1), np.stack([x, top + end * thick], 1)
        canvas.polygon(SCENERY, colour, np.concatenate([upper, lower[::-1]]))
    dice = Dice(bird.variant, "leaves")
    for low, high in ((4, 16), (84, 96)):
        spot = dice.between(low, high)
        root = np.array([spot, _branch_height(bird, place, np.array(spot)) + 1.0])
        for degrees in (dice.between(-80, -30), dice.between(-150, -100)):
            _paint_leaf(canvas, root, degrees, tone(_LEAF, dice.between(-0.15, 0.1)))


def _paint_leaf(canvas: Canvas, root: np.ndarray, degrees: float, colour: tuple[int, int, int]) -> None:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, sine], [-sine, cosine]])
    canvas.polygon(SCENERY, colour, root + curve(_LEAF_SHAPE) @ turn)
    canvas.line(SCENERY, tone(colour, 0.18), root + points("0,0 9,-0.2") @ turn, 0.6)


def _water_height(place: Placement) -> float:
    return float(place(points("48,82"))[0, 1])


def _paint_shore(canvas: Canvas, place: Placement, bird: Bird) -> None:
    """Low hills far behind the water, hardly darker than the sky."""
    dice = Dice(bird.variant, "hills")
    x = np.linspace(-2, 102, 27)
    phase, height = dice.between(0, 6), _water_height(place) - 13
    y = height + 4 * np.sin(x / 15 + phase) + 2 * np.sin(x / 7 + 2 * phase)
    colour = tone(BACKGROUNDS[bird.background], 0.07)
    canvas.polygon(SCENERY, colour, np.concatenate([np.stack([x, y], 1), [(102, 102), (-2, 102)]]))


def _paint_water(canvas: Canvas, place: Placement, bird: Bird) -> None:
    """Water up to the bird's flank, its reflection, and a few ripples."""
    level = _water_height(place)
    phase = Dice(bird.variant, "waves").between(0, 6)
    x = np.linspace(-2, 102, 53)
    surface = np.stack([x, level + 0.6 * np.sin(x * 0.35 + phase)], 1)
    canvas.polygon(SCENERY, _WATER, np.concatenate([surface, [(102, 102), (-2, 102)]]))
    mirrored = place(silhouette(bird.body))
    mirrored = np.stack([mirrored[:, 0], 2 * level + 1.5 - mirrored[:, 1]], 1)
    canvas.polygon(SCENERY, tone(_WATER, 0.1), mirrored[mirrored[:, 1] > level + 0.8])
    middle = float(place(points("50,50"))[0, 0])
    for depth, reach in ((3.5, 34), (8.5, 26), (13.5, 38)):
        ripple = np.linspace(middle - reach, middle + reach, 24)
        wave = np.stack([ripple, level + depth + 0.5 * np.sin(ripple * 0.35 + phase + depth)], 1)
        canvas.line(SCENERY, tone(_WATER, -0.45), wave, 0.7)
