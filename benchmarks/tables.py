"""Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NOTHING = "-"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def absences(absent: Mapping[str, str]) -> str:
    """What follows a table: a line for each tool that did not run; empty when all did."""
    lines = "".join(f"\n- {name}: did not run: {why}" for name, why in absent.items())
    return f"\n{lines}" if lines else ""


def number(value: float | None, form: str = ",.0f") -> str:
    """A dash where there is no value."""
    return NOTHING if value is None else format(value, form)
