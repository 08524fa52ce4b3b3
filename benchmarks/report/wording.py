"""Figures as a reader sees them: as many digits as mean something, and always a unit."""

from __future__ import annotations

import math

NOTHING = "\N{EN DASH}"  # where a figure is not defined


def figure(value: float | None, unit: str = "") -> str:
    """Three significant digits, thousands separated: "0.42 ms", "48.3 ms", "2,141 ms"."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{_digits(value)} {unit}".rstrip()


def number(value: float | None) -> str:
    """The same without a unit, for columns that name theirs."""
    return figure(value)


def _digits(value: float) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3g}"


def count(value: int, noun: str | None = None) -> str:
    """ "1 request", "20,000 requests"."""
    if noun is None:
        return f"{value:,}"
    return f"{value:,} {noun if value == 1 else noun + 's'}"


def share(value: float | None) -> str:
    """A part of one in percent; what is not all never reads 100 %, and what is something never 0 %."""
    if value is None or not math.isfinite(value):
        return NOTHING
    percent = value * 100
    if 0 < percent < 0.01:
        return "< 0.01 %"
    if 99.99 < percent < 100:
        return "> 99.99 %"
    digits = 0 if percent in (0, 100) else 1 if 1 <= percent <= 99 else 2
    return f"{percent:.{digits}f} %"


def change(value: float | None) -> str:
    """A difference in parts of one, with its sign: "+4.8 %"."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value * 100:+.1f} %".replace("-", "\N{MINUS SIGN}")


def seconds(value: float) -> str:
    """ "45 s", "1 min 30 s", "2 h"."""
    if value < 60:
        return f"{value:.3g} s"
    hours, rest = divmod(round(value), 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{amount} {unit}" for amount, unit in parts if amount)


def tick(value: float) -> str:
    """An axis label: short, exact."""
    size = abs(value)
    if size >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    if size >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:,.10g}"
