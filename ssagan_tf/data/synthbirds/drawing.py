"""Draws a bird and its masks: smooth curves on one canvas, four times too large, then averaged.

The canvas holds a small number for each pixel, which stands for a part and a flat colour. Picture and masks come
from the same canvas, so they agree to the pixel; soft light is added at the final size. Points are in a frame of
100 x 100, x to the right, y down, for a bird that faces right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ssagan_tf.data.synthbirds.attributes import BACKGROUNDS, BEAK_COLOURS, COLOURS, Bird, Dice

Point = tuple[float, float]
Colour = tuple[int, int, int]

# Parts of a bird, in the order of `part_masks`; what is none of them is scenery.
PARTS = ("crown", "wing", "belly", "breast", "tail", "beak", "eye", "legs", "wing_bars")
SUPERSAMPLING = 4
_CENTRE = (50.0, 50.0)
_DARK: Colour = (44, 42, 50)
_LEGS: Colour = (120, 92, 76)
_BARK: Colour = (128, 92, 66)
_LEAF: Colour = (126, 176, 110)
_WATER: Colour = (122, 180, 212)
_FOAM: Colour = (226, 242, 250)

# The silhouette without tail and beak, counter-clockwise from the upper base of the beak.
_OUTLINE: tuple[Point, ...] = (
    (85, 32), (80.5, 18), (64, 9), (46, 15.5), (39, 32), (28, 46), (16, 60), (18.5, 73),
    (34, 85), (53, 87.5), (70, 82.5), (81.5, 69), (84, 55), (81.5, 46), (84, 39.5),
)  # fmt: skip
_STEPS = 8  # straight pieces between two points of a curve


def draw(bird: Bird, size: int) -> Image.Image:
    """The picture, RGB, `size` x `size`; depends on its arguments alone."""
    canvas = _paint(bird, size)
    flat, cover = canvas.picture()
    light = _light(canvas, bird)
    scene = _backdrop(bird, size)
    picture = flat * light + scene * (1 - cover)
    return Image.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8))


def part_masks(bird: Bird, size: int) -> dict[str, np.ndarray]:
    """What is visible of each part: (size, size) float32 in [0, 1], antialiased.

    Keys are `PARTS` and "background", which add up to 1, and "bird", the sum of all parts.
    """
    canvas = _paint(bird, size)
    masks = {part: canvas.coverage(part) for part in PARTS}
    masks["bird"] = sum(masks.values())
    masks["background"] = 1 - masks["bird"]
    return {name: mask.astype(np.float32) for name, mask in masks.items()}


class _Canvas:
    """Flat shapes, each of one part and colour, on a grid `SUPERSAMPLING` times finer than the picture."""

    def __init__(self, size: int, place: _Placement) -> None:
        self.size = size
        self.place = place
        self._grid = Image.new("L", (size * SUPERSAMPLING,) * 2, 0)
        self._pen = ImageDraw.Draw(self._grid)
        self._inks: dict[tuple[str, Colour], int] = {}
        self._scale = size * SUPERSAMPLING / 100

    def polygon(self, part: str, colour: Colour, points: Iterable[Point], placed: bool = True) -> None:
        self._pen.polygon(self._to_grid(points, placed), fill=self._ink(part, colour))

    def line(
        self, part: str, colour: Colour, points: Iterable[Point], width: float, placed: bool = True
    ) -> None:
        pixels = max(1, round(width * self._scale))
        self._pen.line(
            self._to_grid(points, placed), fill=self._ink(part, colour), width=pixels, joint="curve"
        )

    def disc(self, part: str, colour: Colour, centre: Point, radius: float) -> None:
        (x, y), r = self._to_grid([centre], True)[0], radius * self.place.zoom * self._scale
        self._pen.ellipse((x - r, y - r, x + r, y + r), fill=self._ink(part, colour))

    def coverage(self, part: str) -> np.ndarray:
        """Share of each pixel that shows the part, float64."""
        ours = [ink for (name, _), ink in self._inks.items() if name == part]
        fine = np.isin(np.asarray(self._grid), ours)
        return fine.reshape(self.size, SUPERSAMPLING, self.size, SUPERSAMPLING).mean((1, 3))

    def mask(self, *parts: str) -> Image.Image:
        """The same as an 8 bit picture: faster, and ready to be blurred."""
        table = [0] * 256
        for (name, _), ink in self._inks.items():
            table[ink] = 255 * (name in parts)
        return self._grid.point(table).reduce(SUPERSAMPLING)

    def picture(self) -> tuple[np.ndarray, np.ndarray]:
        """Colours (size, size, 3), black where nothing was drawn, and the share drawn (size, size, 1)."""
        palette = [(0, 0, 0)] + [colour for _, colour in self._inks]
        grid = self._grid.copy()
        grid.putpalette([value for colour in palette for value in colour])
        colours = np.asarray(grid.convert("RGB").reduce(SUPERSAMPLING), np.float32)
        cover = self._grid.point([0] + [255] * 255).reduce(SUPERSAMPLING)
        return colours, np.asarray(cover, np.float32)[..., None] / 255

    def _ink(self, part: str, colour: Colour) -> int:
        return self._inks.setdefault((part, colour), len(self._inks) + 1)

    def _to_grid(self, points: Iterable[Point], placed: bool) -> list[Point]:
        if placed:
            points = map(self.place, points)
        return [(x * self._scale, y * self._scale) for x, y in points]


class _Placement:
    """Where the bird's frame lies in the picture: zoomed, turned, moved, mirrored."""

    def __init__(self, bird: Bird) -> None:
        dice = Dice(bird.variant, "place")
        self.zoom = (0.87 if bird.size == "small" else 0.97) * dice.between(0.97, 1.0)
        angle = {"upright": -9.0, "level": 2.0}[bird.pose] + dice.between(-3, 3)
        if bird.setting == "water":
            angle = max(angle, -6.0)
        self._sine, self._cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
        self._shift = (dice.between(-2, 2), dice.between(-1, 1))
        self._mirrored = bird.facing == "left"

    def __call__(self, point: Point) -> Point:
        x, y = (point[0] - _CENTRE[0]) * self.zoom, (point[1] - _CENTRE[1]) * self.zoom
        x, y = x * self._cosine - y * self._sine, x * self._sine + y * self._cosine
        x, y = x + _CENTRE[0] + self._shift[0], y + _CENTRE[1] + self._shift[1]
        return (100 - x if self._mirrored else x), y


def _curve(points: Sequence[Point], closed: bool = False) -> list[Point]:
    """Catmull-Rom spline through all points; `_STEPS` pieces from each to the next."""
    points = list(points)
    around = [points[-1], *points, *points[:2]] if closed else [points[0], *points, points[-1]]
    smooth = []
    for p, q, r, s in zip(around, around[1:], around[2:], around[3:], strict=False):
        for step in range(_STEPS):
            t = step / _STEPS
            a, b, c, d = -t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2
            smooth.append(tuple((a * p[k] + b * q[k] + c * r[k] + d * s[k]) / 2 for k in (0, 1)))
    return smooth if closed else [*smooth, points[-1]]


def _tone(colour: Colour, amount: float) -> Colour:
    """Darker by the share `amount`, or lighter if it is negative; black only ever gets lighter."""
    if max(colour) < 70:
        amount = -abs(amount) * 0.7
    target = 0 if amount > 0 else 255
    return tuple(round(value + (target - value) * abs(amount)) for value in colour)


def _paint(bird: Bird, size: int) -> _Canvas:
    canvas = _Canvas(size, _Placement(bird))
    outline = _silhouette(bird)
    if bird.setting == "branch":
        _paint_branch(canvas, bird)
    if bird.setting == "sky":
        _paint_far_wing(canvas, bird)
    _paint_tail(canvas, bird)
    _paint_beak(canvas, bird)
    _paint_body(canvas, bird, outline)
    (_paint_raised_wing if bird.setting == "sky" else _paint_folded_wing)(canvas, bird)
    _paint_eye(canvas)
    if bird.setting == "branch":
        _paint_feet(canvas)
    if bird.setting == "water":
        _paint_water(canvas, bird)
    return canvas


def _silhouette(bird: Bird) -> list[Point]:
    """The closed outline; a slim bird's lower half is drawn in."""
    squeeze = {"round": 1.0, "slim": 0.88}[bird.body]
    return _curve([(x, y if y < 48 else 48 + (y - 48) * squeeze) for x, y in _OUTLINE], closed=True)


def _paint_body(canvas: _Canvas, bird: Bird, outline: list[Point]) -> None:
    def edge(start: float, end: float) -> list[Point]:
        return outline[int(start * _STEPS) : int(end * _STEPS) + 1]

    nape, hip, chest, chin = (outline[int(place * _STEPS)] for place in (4, 7, 12, 0))
    back_line = _curve([hip, (44, 62), (58, 46), nape])
    belly_line = _curve([chest, (70, 61), (54, 63), (36, 62), hip])
    crown_line = _curve([nape, (50, 41), (66, 40), (79, 36), chin])
    canvas.polygon("breast", COLOURS[bird.breast], outline)
    canvas.polygon("belly", COLOURS[bird.belly], edge(7, 12) + belly_line)
    canvas.polygon("wing", _tone(COLOURS[bird.wing], 0.1), edge(4, 7) + back_line)
    canvas.polygon("crown", COLOURS[bird.crown], edge(0, 4) + crown_line)


def _paint_tail(canvas: _Canvas, bird: Bird) -> None:
    colour = COLOURS[bird.tail]
    fan = [(34, 50), (16, 56), (4, 62), (1.5, 69), (2, 77), (7, 82), (18, 80), (34, 76)]
    canvas.polygon("tail", colour, _curve(fan))
    for y in (70, 76):
        canvas.line("tail", _tone(colour, 0.25), _curve([(22, 65), (13, y - 3), (4, y)]), 0.8)


def _paint_folded_wing(canvas: _Canvas, bird: Bird) -> None:
    colour = COLOURS[bird.wing]
    primaries = [
        (64, 52),
        (55, 44),
        (41, 44),
        (26, 52),
        (14, 62),
        (7, 70),
        (20, 72),
        (37, 72),
        (52, 69.5),
        (62, 62),
    ]
    secondaries = [(63, 52), (54, 45), (41, 46), (28, 54), (20, 64), (37, 68), (51, 66), (61, 60)]
    coverts = [(62, 52), (54, 46), (42, 47), (34, 54), (35, 60), (45, 62), (58, 59)]
    for shape, shade in ((primaries, 0.16), (secondaries, 0.08), (coverts, 0.0)):
        canvas.polygon("wing", _tone(colour, shade), _curve(shape, closed=True))
    for start, end in (((49, 67.5), (14, 70.2)), ((45, 65), (14, 67.6)), ((38, 63), (17, 65))):
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 1.2)
        canvas.line("wing", _tone(colour, 0.3), _curve([start, middle, end]), 0.7)
    for x, y in ((41, 53.5), (47.5, 54), (54, 53), (44, 57.5), (50.5, 57.5)):
        canvas.line("wing", _tone(colour, 0.2), _curve([(x - 2.5, y), (x, y + 1.8), (x + 2.5, y)]), 0.7)
    if bird.wing_bars != "none":
        for x, y in ((0, 0), (-6, 2)):
            bar = _curve([(37 + x, 55 + y), (42 + x, 61.5 + y), (54 + x, 63 + y)])
            canvas.line("wing_bars", COLOURS[bird.wing_bars], bar, 2.4)


def _paint_raised_wing(canvas: _Canvas, bird: Bird) -> None:
    colour = COLOURS[bird.wing]
    primaries = [
        (60, 54),
        (48, 38),
        (34, 20),
        (18, 6),
        (9, 6),
        (8, 18),
        (12, 32),
        (20, 48),
        (34, 62),
        (50, 65),
    ]
    secondaries = [(60, 54), (48, 38), (34, 21), (20, 14), (18, 26), (24, 44), (36, 58), (50, 63)]
    coverts = [(59, 54), (48, 39), (37, 26), (28, 25), (31, 42), (40, 55), (51, 60)]
    for shape, shade in ((primaries, 0.16), (secondaries, 0.08), (coverts, 0.0)):
        canvas.polygon("wing", _tone(colour, shade), _curve(shape, closed=True))
    for start, end in (
        ((27, 32), (10, 13)),
        ((29, 40), (11, 24)),
        ((33, 48), (15, 36)),
        ((38, 54), (21, 48)),
    ):
        canvas.line("wing", _tone(colour, 0.3), [start, end], 0.7)
    if bird.wing_bars != "none":
        for x, y in ((0, 0), (-5, 2.5)):
            bar = _curve([(29 + x, 24 + y), (31 + x, 40 + y), (39 + x, 56 + y)])
            canvas.line("wing_bars", COLOURS[bird.wing_bars], bar, 2.4)


def _paint_far_wing(canvas: _Canvas, bird: Bird) -> None:
    shape = [(62, 52), (50, 30), (41, 12), (33, 4), (28, 12), (32, 34), (42, 52)]
    canvas.polygon("wing", _tone(COLOURS[bird.wing], 0.3), _curve(shape, closed=True))


_BEAKS = {
    "pointed": (4.4, 1.0, 0.0),
    "curved": (4.2, 6.0, 1.2),
    "thick": (6.2, 2.0, 1.8),
}  # half height, drop, bulge


def _paint_beak(canvas: _Canvas, bird: Bird) -> None:
    colour = BEAK_COLOURS[bird.beak]
    tip = {"short": 92.5, "long": 98.5}[bird.beak_length]
    half, drop, bulge = _BEAKS[bird.beak_shape]
    root, middle, end = 81.0, (82 + tip) / 2, (tip, 35 + drop)
    upper = _curve([(root, 35 - half), (middle, 35 - half * 0.6 - bulge * 0.5), end])
    lower = _curve([end, (middle, 35 + half * 0.75 + bulge * 0.5), (root, 35 + half)])
    canvas.polygon("beak", colour, upper + lower)
    canvas.polygon(
        "beak", _tone(colour, 0.22), _curve([(root, 35.6), (middle, 35.6 + drop * 0.3), end]) + lower
    )


def _paint_eye(canvas: _Canvas) -> None:
    canvas.disc("eye", (244, 240, 232), (71, 31), 4.6)
    canvas.disc("eye", _DARK, (71.2, 31), 3.7)
    canvas.disc("eye", (255, 255, 255), (72.4, 29.5), 1.3)


def _paint_feet(canvas: _Canvas) -> None:
    for x in (46, 58):
        canvas.line("legs", _LEGS, [(x, 82), (x + 1, 92)], 1.8)
        canvas.line("legs", _LEGS, _curve([(x - 3, 93.5), (x + 1, 91.5), (x + 5, 93.5)]), 2.0)


def _paint_branch(canvas: _Canvas, bird: Bird) -> None:
    dice = Dice(bird.variant, "branch")
    height = canvas.place((52, 93))[1]
    left, right = height + dice.between(-3, 3), height + dice.between(-3, 3)
    top = _curve([(-5, left), (50, height - 1.5), (105, right)])
    bottom = _curve([(105, right + 5), (50, height + 4), (-5, left + 6)])
    canvas.polygon("scenery", _BARK, top + bottom, placed=False)


def _paint_water(canvas: _Canvas, bird: Bird) -> None:
    line = canvas.place((48, 82))[1]
    wave = [(x, line + 0.7 * math.sin(x * 0.35 + bird.variant % 7)) for x in range(-2, 104, 2)]
    canvas.polygon("scenery", _WATER, [*wave, (102, 102), (-2, 102)], placed=False)


def _light(canvas: _Canvas, bird: Bird) -> np.ndarray:
    """What to multiply the flat colours by, (size, size, 1): each part swells a little, the wing throws a shadow."""
    size = canvas.size
    blur = ImageFilter.GaussianBlur(size * 0.045)
    light = np.ones((size, size), np.float32)
    for parts, depth in (
        (("breast", "belly", "crown", "eye", "wing", "wing_bars"), 0.35),
        (("wing", "wing_bars"), 0.2),
    ):
        mask = canvas.mask(*parts)
        inside = np.asarray(mask, np.float32) / 255
        soft = np.asarray(mask.filter(blur), np.float32) / 255
        light -= inside * depth * (1 - soft)
    return light[..., None]


def _backdrop(bird: Bird, size: int) -> np.ndarray:
    """A pale gradient, (size, size, 3)."""
    top = np.asarray(BACKGROUNDS[bird.background], np.float32)
    height = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None, None]
    pale = top + (252 - top) * 0.75
    return np.broadcast_to(top + (pale - top) * height, (size, size, 3))
