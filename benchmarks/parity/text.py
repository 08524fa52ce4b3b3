"""The report that a person reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.parity.judge import Verdict


def report(verdicts: Sequence[Verdict], found: Mapping[str, Any]) -> str:
    """The differences, what is by design with its reason, and the line that counts."""
    return "\n".join([*_faults(verdicts), *_by_design(verdicts), *_end(found)])


def _faults(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for one in verdicts:
        if one.outcome in ("different", "unstable"):
            what = (
                "differs"
                if one.outcome == "different"
                else "differs from itself, asked twice, on the bare server"
            )
            yield f"{one.case} (status {one.status}) {what}:"
            for difference in one.found:
                yield f"  {difference.path}: {difference.ours} instead of {difference.theirs}"


def _by_design(verdicts: Sequence[Verdict]) -> Iterator[str]:
    rows = [
        (one.case, reason) for one in verdicts for reason in dict.fromkeys(why for _, why in one.by_design)
    ]
    if rows:
        yield "by design:"
        width = max(len(case) for case, _ in rows)
        yield from (f"  {case:{width}}  {reason}" for case, reason in rows)


def _end(found: Mapping[str, Any]) -> Iterator[str]:
    for cases in found["rules_that_cover_nothing"]:
        yield f"a rule of by_design.py covers nothing: {cases}"
    if found["num_not_asked"]:
        yield f"{found['num_not_asked']} requests were not asked: no server for them was named"
    percent = "-" if found["parity"] is None else f"{found['parity']:.1%}"
    yield (
        f"{found['num_requests']} requests: {found['num_equal']} equal, {found['num_by_design']} different by design, "
        f"{found['num_different']} different, {found['num_unstable']} unstable; parity {percent} (bar: 100 %)"
    )
