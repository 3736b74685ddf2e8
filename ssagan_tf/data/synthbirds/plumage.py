"""The bird itself, part by part, from the far side to the near one. Points are those of a bird that faces right."""

from __future__ import annotations

import functools

import numpy as np

from ssagan_tf.data.synthbirds.attributes import BEAK_COLOURS, COLOURS, Bird
from ssagan_tf.data.synthbirds.canvas import STEPS, Canvas, Placement, blob, curve, points, spline, tone

# Parts of a bird; what is none of them is background.
PARTS = ("crown", "wing", "belly", "breast", "tail", "beak", "eye", "legs", "wing_bars")

# The body without tail and beak, counter-clockwise from the upper base of the beak.
_OUTLINE = "85,32 80.5,18 64,9 46,15.5 39,32 28,46 16,60 18.5,73 34,85 53,87.5 70,82.5 81.5,69 84,55 82.5,47 83.5,40"
_BROW, _NAPE, _HIP, _CHEST = 0, 4, 7, 12  # places on the outline where parts meet
_SQUEEZE = {"round": 1.0, "slim": 0.88}  # of all below the neck

_TAIL = "34,50 17,56 6,62 3.5,69 4,77 9,82 19,80 34,76"
_TAIL_FEATHERS = ("24,62 14,65.5 5,69", "24,67 14,71.5 6,76")

# A wing is three layers, the nearest lightest; then lines between feathers, scales, and two bars.
_FOLDED = (
    "64,52 55,44 41,44 26,52 14,62 7,70 20,72 37,72 52,69.5 62,62",
    "63,52 54,45 41,46 28,54 20,64 37,68 51,66 61,60",
    "62,52 54,46 42,47 34,54 35,60 45,62 58,59",
)
_FOLDED_LINES = ("49,67.5 31,70 14,70.2", "45,65 29,67.5 14,67.6", "38,63 27,65.2 17,65")
_FOLDED_SCALES = ("41,53.5", "47.5,54", "54,53", "44,57.5", "50.5,57.5")
_FOLDED_BARS = ("33.5,56 36,60.5 44,63.3 56,61.5", "27,58.5 30,64.5 40,67.6 52,66.5")
_RAISED = (
    "60,54 48,38 34,20 19,7 11,7.5 10.5,18 13,32 20,48 34,62 50,65",
    "60,54 48,38 34,21 20,14 18,26 24,44 36,58 50,63",
    "59,54 48,39 37,26 28,25 31,42 40,55 51,60",
)
_RAISED_LINES = ("27,32 19,23 12,14", "29,40 21,33 13,25", "33,48 24,43 15,36", "38,54 29,52 21,48")
_RAISED_SCALES = ("37,34", "43,40", "39,41", "49,47", "45,49")
_RAISED_BARS = ("27.5,24 29.5,40 39,56 48,61", "21,22 23,42 34,58.5 44,63")
_FAR_WING = "62,52 50,30 41,12 33,4 28,12 32,34 42,52"

# Half the height at the root, how far the tip hangs, how round it is.
_BEAKS = {"pointed": (4.6, 1.0, 0.0), "curved": (4.4, 6.5, 1.4), "thick": (6.4, 2.0, 2.0)}
_BEAK_TIPS = {"short": 91.0, "long": 96.5}

_LEGS = (206, 124, 66)
_EYE = (40, 38, 46)


def paint_bird(canvas: Canvas, place: Placement, bird: Bird) -> None:
    """All of the bird but its legs."""
    wing = COLOURS[bird.wing]
    if bird.setting == "sky":
        canvas.polygon("wing", tone(wing, 0.3), place(blob(_FAR_WING)))
    _paint_tail(canvas, place, COLOURS[bird.tail])
    _paint_beak(canvas, place, bird)
    _paint_body(canvas, place, bird)
    if bird.setting == "sky":
        _paint_wing(canvas, place, wing, _RAISED, _RAISED_LINES, _RAISED_SCALES)
        _paint_bars(canvas, place, bird.wing_bars, _RAISED_BARS)
    else:
        _paint_wing(canvas, place, wing, _FOLDED, _FOLDED_LINES, _FOLDED_SCALES)
        _paint_bars(canvas, place, bird.wing_bars, _FOLDED_BARS)
    _paint_eye(canvas, place)


def paint_legs(canvas: Canvas, hips: np.ndarray, ground: np.ndarray, forward: int) -> None:
    """Two legs, from hips (2, 2) to where they stand (2, 2), toes `forward` (1 right, -1 left), in the picture."""
    for hip, foot in zip(hips, ground, strict=True):
        canvas.line("legs", _LEGS, np.array([hip, foot]), 1.7)
        for toe in ((-2.6, 1.4), (2.4, 1.8), (4.6, 0.8)):
            canvas.line("legs", _LEGS, np.array([foot, foot + np.array(toe) * (forward, 1)]), 1.5)


@functools.cache
def silhouette(body: str) -> np.ndarray:
    """The closed outline of a round or a slim body, (m, 2)."""
    knots = points(_OUTLINE).copy()
    below = knots[:, 1] > 48
    knots[below, 1] = 48 + (knots[below, 1] - 48) * _SQUEEZE[body]
    return spline(knots, closed=True)


@functools.cache
def _regions(body: str) -> dict[str, np.ndarray]:
    """Parts of the body: what lies between a stretch of its outline and a curve inside, back to where it began."""
    outline = silhouette(body)
    regions = {"breast": outline}
    for part, start, end, inner in (
        ("belly", _HIP, _CHEST, "70,61 54,63 36,62"),
        ("wing", _NAPE, _HIP, "44,62 58,46"),
        ("crown", _BROW, _NAPE, "50,41 66,40 79,36"),
    ):
        edge = outline[start * STEPS : end * STEPS + 1]
        back = spline(np.concatenate([edge[-1:], points(inner), edge[:1]]))
        regions[part] = np.concatenate([edge, back])
    return regions


def _paint_body(canvas: Canvas, place: Placement, bird: Bird) -> None:
    for part, region in _regions(bird.body).items():
        colour = COLOURS[getattr(bird, part)]
        # The back is the wing's colour, a little darker, so that the wing stands out.
        canvas.polygon(part, tone(colour, 0.1) if part == "wing" else colour, place(region))


def _paint_tail(canvas: Canvas, place: Placement, colour: tuple[int, int, int]) -> None:
    canvas.polygon("tail", colour, place(curve(_TAIL)))
    for feather in _TAIL_FEATHERS:
        canvas.line("tail", tone(colour, 0.25), place(curve(feather)), 0.8)


def _paint_wing(
    canvas: Canvas,
    place: Placement,
    colour: tuple[int, int, int],
    layers: tuple[str, ...],
    lines: tuple[str, ...],
    scales: tuple[str, ...],
) -> None:
    for layer, shade in zip(layers, (0.16, 0.08, 0.0), strict=True):
        canvas.polygon("wing", tone(colour, shade), place(blob(layer)))
    for line in lines:
        canvas.line("wing", tone(colour, 0.3), place(curve(line)), 0.7)
    for scale in scales:
        arc = points(scale) + curve("-2.6,0 0,1.9 2.6,0")
        canvas.line("wing", tone(colour, 0.18), place(arc), 0.7)


def _paint_bars(canvas: Canvas, place: Placement, colour: str, bars: tuple[str, ...]) -> None:
    if colour == "none":
        return
    for bar in bars:
        canvas.line("wing_bars", COLOURS[colour], place(curve(bar)), 2.2)
        for end in place(curve(bar)[[0, -1]]):
            canvas.disc("wing_bars", COLOURS[colour], end, 1.1)


def _paint_beak(canvas: Canvas, place: Placement, bird: Bird) -> None:
    colour, tip = BEAK_COLOURS[bird.beak], _BEAK_TIPS[bird.beak_length]
    half, drop, bulge = _BEAKS[bird.beak_shape]
    root, middle, end = 81.0, (82 + tip) / 2, (tip, 35 + drop)
    upper = spline(np.array([(root, 35 - half), (middle, 35 - half * 0.6 - bulge * 0.5), end]))
    lower = spline(np.array([end, (middle, 35 + half * 0.75 + bulge * 0.5), (root, 35 + half)]))
    gape = spline(np.array([(root, 35.6), (middle, 35.6 + drop * 0.3), end]))
    canvas.polygon("beak", colour, place(np.concatenate([upper, lower])))
    canvas.polygon("beak", tone(colour, 0.22), place(np.concatenate([gape, lower])))


def _paint_eye(canvas: Canvas, place: Placement) -> None:
    ring, pupil = place(points("71,31 71.2,31"))
    canvas.disc("eye", (244, 240, 232), ring, 4.6 * place.zoom)
    canvas.disc("eye", _EYE, pupil, 3.7 * place.zoom)
    canvas.disc("eye", (255, 255, 255), pupil + (-1.2, -1.5), 1.3 * place.zoom)
