"""The chart of `growth`: what was measured as points, with the straight line through them."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 400, 250  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 40, 46  # from a panel's edges to its axes
_PAPER, _INK, _GRID, _LINE, _POINT = "#ffffff", "#26262c", "#e2e2e2", "#7a9cc6", "#b5432a"
_UNITS = {"seconds": ("seconds", 1.0), "memory": ("MB at the peak", 2.0**20)}
_TITLES = {"train": ("training iteration", "batch"), "generate": ("drawing", "pictures")}


def draw(curves: dict[str, dict]) -> Image.Image:
    """A row of panels for each curve of `growth.measure`: seconds, and memory if it is known, against size."""
    rows = [[(mode, name) for name in _UNITS if name in curve] for mode, curve in curves.items()]
    sheet = Image.new("RGB", (_WIDTH * max(map(len, rows)), _HEIGHT * len(rows)), _PAPER)
    for row, panels in enumerate(rows):
        for column, (mode, name) in enumerate(panels):
            _Panel(curves[mode], mode, name).draw(sheet, column * _WIDTH, row * _HEIGHT)
    return sheet


class _Panel:
    def __init__(self, curve: dict, mode: str, name: str):
        self.unit, scale = _UNITS[name]
        self.title, self.across = _TITLES[mode]
        self.sizes, self.values = curve["sizes"], [value / scale for value in curve[name]]
        line = curve[f"{name}_line"]
        self.start, self.slope, self.deviation = line["start"] / scale, line["slope"] / scale, line["deviation"]
        self.step = _round_step(1.1 * max(self.values) / 4)
        self.most = self.step * math.ceil(1.1 * max(self.values) / self.step)

    def draw(self, sheet: Image.Image, left: int, top: int) -> None:
        pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
        right, bottom = left + _WIDTH - _RIGHT, top + _HEIGHT - _BOTTOM

        def place(size: float, value: float) -> tuple[float, float]:
            across = (right - left - _LEFT) * size / (1.06 * self.sizes[-1])
            return left + _LEFT + across, bottom - (bottom - top - _TOP) * value / self.most

        for tick in range(round(self.most / self.step) + 1):
            x, y = place(0, tick * self.step)
            pen.line([(x, y), (right, y)], _INK if tick == 0 else _GRID)
            pen.text((x - 6, y), f"{tick * self.step:,.4g}", _INK, font, anchor="rm")
        for size in self.sizes:
            pen.text((place(size, 0)[0], bottom + 6), str(size), _INK, font, anchor="mt")
        pen.text(((left + _LEFT + right) / 2, bottom + 24), self.across, _INK, font, anchor="mt")
        told = f"{self.title}: {self.unit}; at most {self.deviation:.0%} off the line"
        pen.text((left + 12, top + 12), told, _INK, font)
        ends = [(size, self.start + self.slope * size) for size in (0, self.sizes[-1])]
        pen.line([place(*end) for end in ends], _LINE, 2)
        for x, y in map(place, self.sizes, self.values):
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], _POINT)


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10, ... times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
