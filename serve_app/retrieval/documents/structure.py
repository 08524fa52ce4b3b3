"""What of a text belongs together: fenced code, and tables of lines whose cells are apart by ` | `.

Loaders write both so, whatever the format was; people do in plain text, too. Knows nothing of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = "```"
_CELL = " | "
_MIN_ROWS = 3  # with the header; two lines with a bar are no table yet


@dataclass(frozen=True, slots=True)
class Block:
    """A slice of a text that should not be cut where it need not be."""

    start: int
    end: int  # without the line's end
    header: str = ""  # of a table: its first row, without which the others say little


def blocks(text: str) -> list[Block]:
    """The text's blocks in order; they do not overlap. Time is linear in its length."""
    if _FENCE not in text and _CELL not in text:
        return []
    found: list[Block] = []
    rows: list[tuple[int, int]] = []  # lines of the open table: start, end
    fence: int | None = None  # where the open fence begins
    for start, end in _lines(text):
        line = text[start:end]
        if fence is not None:
            if line.strip() == _FENCE:
                found.append(Block(fence, end))
                fence = None
        elif line.lstrip().startswith(_FENCE):
            found += _table(text, rows)
            rows, fence = [], start
        elif (num_cells := line.count(_CELL)) and (not rows or num_cells == text.count(_CELL, *rows[0])):
            rows.append((start, end))
        else:
            found += _table(text, rows)
            rows = [(start, end)] if num_cells else []
    return found + _table(text, rows)


def _table(text: str, rows: list[tuple[int, int]]) -> list[Block]:
    if len(rows) < _MIN_ROWS:
        return []
    return [Block(rows[0][0], rows[-1][1], text[slice(*rows[0])].strip())]


def _lines(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, end
        start = end + 1
