"""CSV and TSV: every row a paragraph of lines `header: value`, so that a row cited alone can be read.

The first row is the header. The delimiter is the one of comma, semicolon, tab and bar that cuts the
first rows most evenly (csv.Sniffer guesses from characters, and is quadratic in its patterns).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice

from serve_app.retrieval.documents.base import Parsed, Section, Unreadable, bounded
from serve_app.retrieval.documents.plain_text import decode

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 20
_SAMPLE_CHARS = 65_536


def read_csv(content: bytes) -> Parsed:
    text = decode(content).removeprefix("\ufeff")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text[:_SAMPLE_CHARS]))
    try:
        return Parsed(None, (Section((), "\n\n".join(bounded(_paragraphs(rows))), None),))
    except csv.Error as exc:
        raise Unreadable(f"line {rows.line_num} is not CSV: {exc}") from exc


def _paragraphs(rows: Iterator[list[str]]) -> Iterator[str]:
    filled = (row for row in rows if any(cell.strip() for cell in row))
    header = [cell.strip() or f"column {index}" for index, cell in enumerate(next(filled, []), start=1)]
    num_rows = 0
    for row in filled:
        num_rows += 1
        names = header + [f"column {index}" for index in range(len(header) + 1, len(row) + 1)]
        # A cell of several paragraphs stays in its row's.
        cells = ((name, " ".join(cell.split())) for name, cell in zip(names, row, strict=False))
        yield "\n".join(f"{name}: {cell}" for name, cell in cells if cell)
    if not num_rows and header:
        yield "\n".join(header)  # a file of one row, or a list with one entry


def _delimiter(sample: str) -> str:
    return max(_DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))


def _evenness(sample: str, delimiter: str) -> tuple[float, int]:
    """How many of the first rows have as many cells as the first one; then, how many cells that is."""
    try:
        rows = list(islice(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter), _SAMPLE_ROWS))
    except csv.Error:
        return (0.0, 0)
    widths = [len(row) for row in rows if row]
    if not widths or widths[0] == 1:
        return (0.0, 0)
    return (sum(width == widths[0] for width in widths) / len(widths), widths[0])
