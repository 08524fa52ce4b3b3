"""What is drawn on a plot: lines, dots, bars, and the signs that explain them.

A plot's drawing is a stretched SVG of 2000 by 1000 units whose strokes keep their width, so that it fits
every window without a script. Colours are the page's classes (`c-blue`), which know light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from benchmarks.report.markup import Html, join, tag
from benchmarks.report.scales import Scale

WIDTH, HEIGHT = 2000, 1000

Colour = Literal["blue", "orange", "red", "green", "pink", "sky", "yellow", "grey", "ink"]
KeyShape = Literal["line", "dash", "dot", "bar", "tick"]


class Mark(Protocol):
    """One series of a plot."""

    @property
    def name(self) -> str:
        """In the legend; empty: not there."""
        ...

    @property
    def colour(self) -> Colour: ...

    @property
    def key(self) -> KeyShape: ...

    def draw(self, x: Scale, y: Scale) -> Html:
        """SVG elements that take their colour from the group around them."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined in order. NaN and infinities break the line: nothing is drawn where nothing is known."""

    name: str
    colour: Colour
    xs: Sequence[float]
    ys: Sequence[float]
    is_dashed: bool = False
    is_bold: bool = False  # to be seen below another line
    has_points: bool = False  # for few, measured points

    @property
    def key(self) -> KeyShape:
        return "dash" if self.is_dashed else "line"

    def draw(self, x: Scale, y: Scale) -> Html:
        parts = []
        alone: list[tuple[float, float]] = []  # a line of one point would not be seen
        for piece in _pieces(self.xs, self.ys):
            if len(piece) == 1:
                alone += piece
            else:
                parts.append("M" + "L".join(_point(x, y, *point) for point in piece))
        style = "line dashed" if self.is_dashed else "line bold" if self.is_bold else "line"
        line = tag("path", class_=style, d="".join(parts))
        points = (
            [point for piece in _pieces(self.xs, self.ys) for point in piece] if self.has_points else alone
        )
        return join((line if parts else None, _dots(x, y, points, "point") if points else None))


@dataclass(frozen=True, slots=True)
class Dots:
    """A scatter: one round dot a point."""

    name: str
    colour: Colour
    xs: Sequence[float]
    ys: Sequence[float]
    is_large: bool = False  # for few
    key: KeyShape = "dot"

    def draw(self, x: Scale, y: Scale) -> Html:
        return _dots(x, y, zip(self.xs, self.ys, strict=True), "point" if self.is_large else "dots")


@dataclass(frozen=True, slots=True)
class Ticks:
    """Short strokes at the upper edge: moments that have no height of their own, such as errors."""

    name: str
    colour: Colour
    xs: Sequence[float]
    key: KeyShape = "tick"

    def draw(self, x: Scale, y: Scale) -> Html:
        places = sorted({round(x.at(value) * WIDTH) for value in self.xs})
        return tag("path", class_="ticks", d="".join(f"M{place} 0v45" for place in places))


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars over bins, from `floor` (where the bars below end) upwards.

    Args:
        edges: one more than heights.
        floors: None: all stand on zero.
    """

    name: str
    colour: Colour
    edges: Sequence[float]
    heights: Sequence[float]
    floors: Sequence[float] | None = None
    key: KeyShape = "bar"

    def draw(self, x: Scale, y: Scale) -> Html:
        floors = self.floors or [0.0] * len(self.heights)
        parts = []
        for left, right, floor, height in zip(self.edges, self.edges[1:], floors, self.heights, strict=False):
            if height > 0:
                x0, x1 = _px(x, left), _px(x, right)
                parts.append(f"M{x0} {_py(y, floor)}V{_py(y, floor + height)}H{x1}V{_py(y, floor)}z")
        return tag("path", class_="bars", d="".join(parts))


@dataclass(frozen=True, slots=True)
class Steps:
    """The outline of bars: for a second histogram on the same plot, or a count that jumps."""

    name: str
    colour: Colour
    edges: Sequence[float]
    heights: Sequence[float]
    is_dashed: bool = False

    @property
    def key(self) -> KeyShape:
        return "dash" if self.is_dashed else "line"

    def draw(self, x: Scale, y: Scale) -> Html:
        path = f"M{_px(x, self.edges[0])} {_py(y, 0)}"
        for right, height in zip(self.edges[1:], self.heights, strict=True):
            path += f"V{_py(y, height)}H{_px(x, right)}"
        return tag("path", class_="line dashed" if self.is_dashed else "line", d=path)


# ---------------------------------------------------------------- signs: they explain, and cannot be hidden


@dataclass(frozen=True, slots=True)
class Band:
    """A shaded stretch of the x axis."""

    low: float
    high: float
    label: str


@dataclass(frozen=True, slots=True)
class Upright:
    """A vertical line at an x."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line at a y."""

    at: float
    label: str


# ---------------------------------------------------------------- paths


def _pieces(xs: Iterable[float], ys: Iterable[float]) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _dots(x: Scale, y: Scale, points: Iterable[tuple[float, float]], class_: str) -> Html:
    places = dict.fromkeys(_point(x, y, *point) for point in points if all(map(math.isfinite, point)))
    return tag("path", class_=class_, d="".join(f"M{place}h0" for place in places))


def _point(x: Scale, y: Scale, at_x: float, at_y: float) -> str:
    return f"{_px(x, at_x)} {_py(y, at_y)}"


def _px(x: Scale, value: float) -> int:
    return round(x.at(value) * WIDTH)


def _py(y: Scale, value: float) -> int:
    return round((1.0 - y.at(value)) * HEIGHT)
