"""How long a server takes to be itself again after a fault, by when requests arrived."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from benchmarks.metrics.asked import is_error, was_asked
from benchmarks.metrics.objectives import limits_of, meets
from benchmarks.records import Record
from configs.workload import Objectives

# Single seconds hold few requests; so many good ones in a row are no luck.
NUM_GOOD_SECONDS = 3


def seconds_to_recovery(records: Sequence[Record], fault_s: float) -> int | None:
    """Whole seconds after the fault from which on every request that arrives ends well.

    0: none failed. None: nothing that arrived after the last failure is known to have ended well.
    """
    failed = [record for record in records if is_error(record) and record.end_ns >= fault_s * 1e9]
    after = max((int(max(intended_s(record) - fault_s, 0.0)) + 1 for record in failed), default=0)
    is_over = any(
        was_asked(record) and not is_error(record) and intended_s(record) >= fault_s + after
        for record in records
    )
    return after if is_over else None


def seconds_to_objectives(records: Sequence[Record], fault_s: float, objectives: Objectives) -> int | None:
    """Whole seconds after the fault until requests meet the objectives, several seconds in a row.

    A second is good when its share of requests that do is at least the objectives' attainment.
    """
    limits = limits_of(objectives)
    by_second: dict[int, list[bool]] = defaultdict(list)  # second after the fault -> verdicts
    for record in records:
        verdict = meets(record, limits)
        if verdict is not None and intended_s(record) >= fault_s:
            by_second[int(intended_s(record) - fault_s)].append(verdict)
    good: list[int] = []  # the latest good seconds in a row
    for second in sorted(by_second):
        verdicts = by_second[second]
        is_good = sum(verdicts) >= objectives.attainment * len(verdicts)
        good = [*good, second] if is_good else []
        if len(good) == NUM_GOOD_SECONDS:
            return good[0] if good[0] > min(by_second) else 0
    return None


def intended_s(record: Record) -> float:
    return record.intended_ns / 1e9
