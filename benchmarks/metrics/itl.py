"""The latency between two pieces of text that follow each other.

A piece is what one server-sent event brings. A server may put several tokens into one event, and several
events may come in one read: the first gap is then long and the others 0, as the user sees it. Nothing is
spread evenly afterwards; `tpot` is the mean that joined pieces do not change.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.asked import is_error, should_have_gaps
from benchmarks.metrics.base import RequestMetric
from benchmarks.records import Record


def _applies(record: Record) -> bool:
    # A whole answer of several pieces without gaps is from a run that kept no token times.
    return should_have_gaps(record) and (bool(record.gaps_us) or is_error(record))


def _values(record: Record) -> Sequence[float]:
    return [gap_us / 1e3 for gap_us in record.gaps_us]


ITL = RequestMetric(
    name="itl",
    unit="ms",
    better="lower",
    formula="each of gaps_us / 1e3: between a non-empty piece of text and the next; pieces that came in one read "
    "have 0. A stream that failed adds the one gap that never ended",
    applies=_applies,
    values=_values,
    undefined="not a stream; fewer than two pieces; the run kept no token times",
    is_cut_off=is_error,
)
