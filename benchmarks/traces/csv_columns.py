"""Lines of comma-separated values under a header, by the names of their columns."""

from __future__ import annotations

import csv
import math

from benchmarks.traces.base import MAX_TOKENS, LineFault


def split(line: str) -> list[str]:
    """The line's values.

    Raises:
        LineFault: a quote that does not end, for example.
    """
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as exc:
        raise LineFault(str(exc)) from exc


class Columns:
    """Where the columns of a header are.

    Raises:
        LineFault: the header lacks one.
    """

    def __init__(self, header: str, names: tuple[str, ...]) -> None:
        found = split(header)
        missing = [name for name in names if name not in found]
        if missing:
            raise LineFault(f"the header has no column {missing[0]!r}")
        self._num_columns = len(found)
        self._positions = [found.index(name) for name in names]

    def of(self, line: str) -> list[str]:
        """The values of the columns, in the order in which they were named.

        Raises:
            LineFault: the line has more or fewer values than the header.
        """
        values = split(line)
        if len(values) != self._num_columns:
            raise LineFault(f"{len(values)} values under a header of {self._num_columns} columns")
        return [values[position] for position in self._positions]


def num_tokens(value: str, column: str, *, at_least: int = 1) -> int:
    """A count of tokens.

    Raises:
        LineFault: it is not a whole number in its range.
    """
    if not value.isascii() or not value.isdigit():
        raise LineFault(f"{column} is not a whole number: {value[:40]!r}")
    # A number of a thousand digits is refused by its length, before it is made.
    number = int(value) if len(value) <= 18 else MAX_TOKENS + 1
    if not at_least <= number <= MAX_TOKENS:
        raise LineFault(f"{column} is not from {at_least} to {MAX_TOKENS}: {value[:40]}")
    return number


def seconds(value: str, column: str, max_s: float) -> float:
    """A moment.

    Raises:
        LineFault: it is not a number, or not from 0 to max_s.
    """
    try:
        number = float(value)
    except ValueError as exc:
        raise LineFault(f"{column} is not a number: {value[:40]!r}") from exc
    if not (math.isfinite(number) and 0 <= number <= max_s):
        raise LineFault(f"{column} is not from 0 to {max_s:g}: {value[:40]}")
    return number
