"""A plot: axes, marks, a legend whose entries hide and show, and the figures under the pointer.

Labels are HTML over a stretched SVG, so that text keeps its size in every window. Without a script the
plot is complete; the page's script adds hiding and the pointer's figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.report.marks import HEIGHT, WIDTH, Band, Level, Line, Mark, Upright
from benchmarks.report.markup import Html, data_block, join, tag
from benchmarks.report.scales import Log, Scale

_CROWDED = 0.042  # labels nearer than this share of the axis are left out, on any screen
_CLOSE = 0.125  # those nearer than this on narrow screens


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure.

    Args:
        title: what is seen; `note` says how to read it and what was left out.
        y_unit: shown at the axis and with the pointer's figures.
        hover: the x of each place that the pointer can ask for, with its words; the figures are those of
            the `Line` marks, which must have one y for each of them. Empty: no pointer.
    """

    title: str
    x: Scale
    y: Scale
    x_title: str
    y_unit: str
    marks: Sequence[Mark]
    note: str = ""
    bands: Sequence[Band] = ()
    uprights: Sequence[Upright] = ()
    levels: Sequence[Level] = ()
    hover: Sequence[tuple[float, str]] = ()
    is_wide: bool = False
    kind: str = field(default="chart")

    def draw(self) -> Html:
        """The figure's HTML."""
        return tag(
            "figure",
            tag("figcaption", tag("h3", self.title), self._legend()),
            tag(
                "div",
                tag("span", self._y_title(), class_="y-title"),
                tag("div", self._drawing(), self._labels(), class_="area"),
                tag("span", self.x_title, class_="x-title"),
                class_="plot",
            ),
            self._pointer(),
            tag("p", self.note, class_="note") if self.note else None,
            class_="chart wide" if self.is_wide else "chart",
        )

    def _y_title(self) -> str:
        return f"{self.y_unit}, logarithmic" if isinstance(self.y, Log) else self.y_unit

    def _legend(self) -> Html | None:
        entries = [
            tag(
                "button",
                tag("i", class_=f"key {mark.key} c-{mark.colour}"),
                mark.name,
                type="button",
                aria_pressed="true",
                data_series=number,
            )
            for number, mark in enumerate(self.marks)
            if mark.name
        ]
        return tag("div", *entries, class_="legend") if len(entries) > 1 else None

    def _drawing(self) -> Html:
        grid = "".join(f"M0 {_down(self.y, value)}H{WIDTH}" for value, _ in self.y.ticks())
        bands = [
            tag("rect", class_="band", x=_across(self.x, band.low), y=0, height=HEIGHT,
                width=_across(self.x, band.high) - _across(self.x, band.low))
            for band in self.bands
        ]  # fmt: skip
        series = [
            tag("g", mark.draw(self.x, self.y), class_=f"c-{mark.colour}", data_series=number)
            for number, mark in enumerate(self.marks)
        ]
        uprights = "".join(f"M{_across(self.x, sign.at)} 0V{HEIGHT}" for sign in self.uprights)
        levels = "".join(f"M0 {_down(self.y, sign.at)}H{WIDTH}" for sign in self.levels)
        return tag(
            "svg",
            *bands,
            tag("path", class_="grid", d=grid),
            *series,
            tag("path", class_="sign", d=uprights + levels) if uprights or levels else None,
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            preserveAspectRatio="none",
            role="img",
            aria_label=self.title,
        )

    def _labels(self) -> Html:
        across = [
            _label(f"xt{crowd}", f"left:{_percent(self.x.at(value))}", words)
            for value, words, crowd in _uncrowded(self.x)
        ]
        up = [
            _label("yt", f"bottom:{_percent(self.y.at(value))}", words)
            for value, words, _ in _uncrowded(self.y)
        ]
        bands = [
            _label("band-label", f"left:{_percent(self.x.at(band.low))}", band.label) for band in self.bands
        ]
        uprights = [
            _label(
                _side(self.x.at(sign.at)),
                f"left:{_percent(self.x.at(sign.at))};top:{row * 15 + 16}px",
                sign.label,
            )
            for row, sign in enumerate(self.uprights)
        ]
        levels = [
            _label("level-label", f"bottom:{_percent(self.y.at(sign.at))}", sign.label)
            for sign in self.levels
        ]
        return join((*across, *up, *bands, *uprights, *levels))

    def _pointer(self) -> Html | None:
        if not self.hover:
            return None
        series = [
            {"n": number, "name": mark.name, "ys": [_short(y) for y in mark.ys]}
            for number, mark in enumerate(self.marks)
            if isinstance(mark, Line)
        ]
        places = [round(self.x.at(x), 4) for x, _ in self.hover]
        words = [words for _, words in self.hover]
        return data_block(
            {"unit": self.y_unit, "at": places, "words": words, "series": series}, class_="hover"
        )


def _uncrowded(scale: Scale) -> list[tuple[float, str, str]]:
    """(value, label, class suffix): labels with room for them, some of them only where the screen is wide."""
    labels: list[tuple[float, str, str]] = []
    last, last_major = -math.inf, -math.inf
    for value, words in scale.ticks():
        place = scale.at(value)
        if place - last < _CROWDED:
            continue
        is_major = place - last_major >= _CLOSE
        labels.append((value, words, "" if is_major else " minor"))
        last = place
        last_major = place if is_major else last_major
    return labels


def _label(class_: str, style: str, words: str) -> Html:
    return tag("span", words, class_=class_, style=style)


def _side(place: float) -> str:
    return "upright-label before" if place > 0.7 else "upright-label"


def _across(scale: Scale, value: float) -> int:
    return round(scale.at(value) * WIDTH)


def _down(scale: Scale, value: float) -> int:
    return round((1.0 - scale.at(value)) * HEIGHT)


def _percent(place: float) -> str:
    return f"{place * 100:.2f}%"


def _short(value: float) -> float | str | None:
    """For the pointer: an infinite percentile is one of requests that failed; NaN is nothing."""
    if math.isfinite(value):
        return float(f"{value:.4g}")
    return "failed" if value > 0 else None
