"""Whether every request of a soak ended as it should: pure, from the run's records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from benchmarks.records import Outcome, Record
from benchmarks.soak.mix import EXPECTED_FAILURES


def is_expected(record: Record) -> bool:
    """Answered, left by its client as planned, or refused for the fault that it was sent with."""
    expected = EXPECTED_FAILURES.get(record.entry)
    if expected is not None:
        return record.outcome is Outcome.HTTP_ERROR and record.status == expected
    return record.outcome in (Outcome.OK, Outcome.ABANDONED)


def count_outcomes(records: Iterable[Record]) -> dict[str, Any]:
    """How many ended how, for each entry, and those that should not have ended so."""
    by_entry: dict[str, Counter[str]] = {}
    wrong: Counter[str] = Counter()
    for record in records:
        by_entry.setdefault(record.entry, Counter())[record.outcome] += 1
        if not is_expected(record):
            wrong[f"{record.entry}: {record.outcome} {record.status or ''}: {record.detail[:120]}"] += 1
    return {
        "outcomes": {entry: dict(counts) for entry, counts in sorted(by_entry.items())},
        "num_unexpected": wrong.total(),
        "unexpected": dict(wrong.most_common(20)),
    }
