"""Where shapes are put: a grid finer than the picture that keeps, for each point, which part it shows.

Points are in a frame of 100 x 100 whatever the size of the picture, x to the right, y down.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import Image, ImageDraw

from ssagan_tf.data.synthbirds.attributes import Bird, Dice
from ssagan_tf.errors import UserError

Colour = tuple[int, int, int]

SUPERSAMPLING = 4
MAX_SIZE = 2048
SCENERY = "scenery"  # the part that is no part of the bird
STEPS = 8  # straight pieces from one point of a curve to the next


def check_size(size: int) -> None:
    """Raises UserError unless birds can be drawn at `size` pixels."""
    if not 1 <= size <= MAX_SIZE:
        raise UserError(f"A bird cannot be drawn at that size. Received: {size} pixels. Choose 1 to {MAX_SIZE}.")


class Canvas:
    """Flat shapes, each of one part and one colour.

    A grid of small numbers, `SUPERSAMPLING` times finer than the picture, each number standing for a part and a
    colour. Picture and masks are averages over the same grid, so they agree to the pixel.
    """

    def __init__(self, size: int) -> None:
        check_size(size)
        self.size = size
        self._grid = Image.new("L", (size * SUPERSAMPLING,) * 2, 0)
        self._pen = ImageDraw.Draw(self._grid)
        self._inks: dict[tuple[str, Colour], int] = {}
        self._scale = size * SUPERSAMPLING / 100

    def polygon(self, part: str, colour: Colour, points: np.ndarray) -> None:
        self._pen.polygon(self._path(points), fill=self._ink(part, colour))

    def line(self, part: str, colour: Colour, points: np.ndarray, width: float) -> None:
        pixels = max(1, round(width * self._scale))
        self._pen.line(self._path(points), fill=self._ink(part, colour), width=pixels, joint="curve")

    def disc(self, part: str, colour: Colour, centre: np.ndarray, radius: float) -> None:
        (x, y), r = self._path(centre), round(radius * self._scale)
        self._pen.ellipse((x - r, y - r, x + r, y + r), fill=self._ink(part, colour))

    def coverage(self, part: str) -> np.ndarray:
        """Share of each pixel that shows the part, (size, size) float64, exact."""
        ours = [ink for (name, _), ink in self._inks.items() if name == part]
        fine = np.isin(np.asarray(self._grid), ours)
        return fine.reshape(self.size, SUPERSAMPLING, self.size, SUPERSAMPLING).mean((1, 3))

    def mask(self, *parts: str) -> Image.Image:
        """The same for several parts as an 8 bit picture: quicker, and ready to be blurred."""
        table = [0] * 256
        for (name, _), ink in self._inks.items():
            table[ink] = 255 * (name in parts)
        return self._grid.point(table).reduce(SUPERSAMPLING)

    def picture(self, behind: np.ndarray) -> np.ndarray:
        """Flat colours in front of `behind`, both (size, size, 3) float32."""
        grid = self._grid.copy()
        grid.putpalette([value for colour in ((0, 0, 0), *(ink[1] for ink in self._inks)) for value in colour])
        colours = np.asarray(grid.convert("RGB").reduce(SUPERSAMPLING), np.float32)
        bare = np.asarray(self._grid.point([255] + [0] * 255).reduce(SUPERSAMPLING), np.float32) / 255
        return colours + behind * bare[..., None]

    def _path(self, points: np.ndarray) -> list[float]:
        """x, y, x, y, ... on the grid, rounded so that no machine's last digit moves a pixel."""
        return (np.round(points * (self._scale * 16)) / 16).ravel().tolist()

    def _ink(self, part: str, colour: Colour) -> int:
        return self._inks.setdefault((part, colour), len(self._inks) + 1)


class Placement:
    """Puts points of a bird that faces right into the picture: zoomed, turned, moved, mirrored."""

    def __init__(self, bird: Bird) -> None:
        dice = Dice(bird.variant, "place")
        self.zoom = {"small": 0.87, "large": 0.97}[bird.size] * dice.between(0.97, 1.0)
        degrees = {"upright": -9.0, "level": 2.0}[bird.pose] + dice.between(-3, 3)
        if bird.setting == "water":
            degrees = max(degrees, -6.0)
        sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        mirror = -1 if bird.facing == "left" else 1
        self._turn = self.zoom * np.array([[mirror * cosine, sine], [-mirror * sine, cosine]])
        self._shift = np.array([50 + mirror * dice.between(-1.5, 0.7), 50 + dice.between(-1, 1)])

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return (points - 50) @ self._turn + self._shift


@functools.cache
def points(text: str) -> np.ndarray:
    """ "1,2 3,4" as (n, 2) float64."""
    return np.array([[float(number) for number in pair.split(",")] for pair in text.split()])


@functools.cache
def curve(text: str) -> np.ndarray:
    """A smooth open curve through the points."""
    return spline(points(text))


@functools.cache
def blob(text: str) -> np.ndarray:
    """A smooth closed curve through the points."""
    return spline(points(text), closed=True)


def spline(knots: np.ndarray, closed: bool = False) -> np.ndarray:
    """Catmull-Rom spline through all knots, `STEPS` pieces from each to the next, (m, 2)."""
    before, after = (knots[-1:], knots[:2]) if closed else (knots[:1], knots[-1:])
    around = np.concatenate([before, knots, after])
    p, q, r, s = (around[i : len(around) - 3 + i, None] for i in range(4))
    t = (np.arange(STEPS) / STEPS)[:, None]
    smooth = ((2 * q) + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * q - p - 3 * r + s) * t**3) / 2
    smooth = smooth.reshape(-1, 2)
    return smooth if closed else np.concatenate([smooth, knots[-1:]])


def tone(colour: Colour, amount: float) -> Colour:
    """Darker by the share `amount`, or lighter if it is negative; near black everything becomes lighter."""
    if max(colour) < 70:
        amount = -0.7 * abs(amount)
    target = 0 if amount > 0 else 255
    red, green, blue = (round(value + (target - value) * abs(amount)) for value in colour)
    return red, green, blue
