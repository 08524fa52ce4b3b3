"""What a scenario demands of its run, each as one row of the report: pure functions over records.

Knows nothing of how the run was made. A figure that nobody can know is told as such, and is not met.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.metrics.asked import is_error, was_asked
from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.objectives import limits_of, meets
from benchmarks.metrics.ttft import TTFT
from benchmarks.records import Record
from benchmarks.report import wording
from benchmarks.report.inputs import ObjectiveRow
from benchmarks.scenarios.injection import Injected
from benchmarks.scenarios.recovery import intended_s, seconds_to_objectives, seconds_to_recovery
from configs.workload import Objectives

PROVEN_Z = 2.33  # of a normal distribution 1 % lies above it


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run left behind.

    Args:
        records: of the whole run.
        counted: of the measured window, its warm-up left out.
        injected: what was done to the server; None: nothing was.
    """

    records: Sequence[Record]
    counted: Sequence[Record]
    objectives: Objectives
    injected: Injected | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One demand.

    Args:
        is_timed: it is about time, which a slow client can only make longer: what is met in spite of it is
            met, what is not met may be the client's doing.
    """

    judge: Callable[[Evidence], ObjectiveRow]
    is_timed: bool = False

    def __call__(self, evidence: Evidence) -> ObjectiveRow:
        return self.judge(evidence)


def errors_at_most(share: float) -> Check:
    """Of the measured window."""

    def check(evidence: Evidence) -> ObjectiveRow:
        asked = [record for record in evidence.counted if was_asked(record)]
        num_errors = sum(map(is_error, asked))
        measured = f"{num_errors} of {len(asked)}"
        is_met = bool(asked) and num_errors <= share * len(asked)
        return ObjectiveRow(f"at most {percent(share)} of the requests fail", measured, is_met)

    return Check(check)


def attains(share: float) -> Check:
    """Of the measured window, by the workload's own objectives."""

    def check(evidence: Evidence) -> ObjectiveRow:
        text = f"at least {percent(share)} of the requests have {limits_text(evidence.objectives)}"
        limits = limits_of(evidence.objectives)
        verdicts = [meets(record, limits) for record in evidence.counted]
        judged = [verdict for verdict in verdicts if verdict is not None]
        if not judged:
            return ObjectiveRow(text, "no request can be judged", is_met=False)
        attained = sum(judged) / len(judged)
        return ObjectiveRow(text, wording.share(attained), attained >= share)

    return Check(check, is_timed=True)


def ends_within(entry: str, limit_ms: float, share: float) -> Check:
    """One part of the mix, in the measured window."""

    def check(evidence: Evidence) -> ObjectiveRow:
        text = f"at least {percent(share)} of {entry} end within {limit_ms:g} ms"
        asked = [record for record in evidence.counted if record.entry == entry and was_asked(record)]
        if not asked:
            return ObjectiveRow(text, "none was asked", is_met=False)
        attained = sum(any(value <= limit_ms for value in E2E.values(record)) for record in asked) / len(
            asked
        )
        return ObjectiveRow(text, wording.share(attained), attained >= share)

    return Check(check, is_timed=True)


def percent(share: float) -> str:
    return f"{100 * share:g} %"


def limits_text(objectives: Objectives) -> str:
    """The limits for a reader: "ttft at most 200 ms, tpot at most 20 ms"."""
    given = {"ttft": objectives.ttft_ms, "tpot": objectives.tpot_ms, "e2e": objectives.e2e_ms}
    return ", ".join(f"{name} at most {limit:.0f} ms" for name, limit in given.items() if limit is not None)


def none_fails() -> Check:
    """Of the whole run."""

    def check(evidence: Evidence) -> ObjectiveRow:
        asked = [record for record in evidence.records if was_asked(record)]
        failed = [record for record in asked if is_error(record)]
        measured = f"{len(failed)} of {len(asked)}{_why(failed)}"
        return ObjectiveRow("no request fails", measured, bool(asked) and not failed)

    return Check(check)


def failures_told() -> Check:
    """How many of the whole run's requests fail, and how: a figure without a limit."""

    def check(evidence: Evidence) -> ObjectiveRow:
        asked = [record for record in evidence.records if was_asked(record)]
        kinds = Counter(record.outcome.value for record in asked if is_error(record))
        how = ", ".join(f"{num} {kind}" for kind, num in kinds.most_common())
        measured = f"{kinds.total()} of {len(asked)}{': ' if how else ''}{how}"
        return ObjectiveRow("failed requests (no limit)", measured, is_met=True)

    return Check(check)


def only_in_flight_fail(grace_s: float) -> Check:
    """Requests that arrive `grace_s` after the fault, or later, do not fail."""

    def check(evidence: Evidence) -> ObjectiveRow:
        text = f"no request fails that arrives later than {grace_s:g} s after it"
        if evidence.injected is None:
            return ObjectiveRow(text, "nothing was done", is_met=False)
        failed = [record for record in evidence.records if is_error(record)]
        since_s = evidence.injected.start_s + grace_s
        late = [record for record in failed if intended_s(record) > since_s]
        return ObjectiveRow(text, f"{len(late)} of {len(failed)} that failed{_why(late)}", not late)

    return Check(check)


def recovers_within(limit_s: float) -> Check:
    """From the fault to the first second from which on everything that arrives ends well."""

    def check(evidence: Evidence) -> ObjectiveRow:
        text = f"everything ends well again within {limit_s:g} s"
        if evidence.injected is None:
            return ObjectiveRow(text, "nothing was done", is_met=False)
        taken_s = seconds_to_recovery(evidence.records, evidence.injected.start_s)
        if taken_s is None:
            return ObjectiveRow(text, "not before the end of the run", is_met=False)
        return ObjectiveRow(text, f"{taken_s} s", taken_s <= limit_s)

    return Check(check)


def meets_again_within(limit_s: float, *, after_its_end: bool = False) -> Check:
    """From the fault, or from its end, to the first second from which on requests meet the objectives."""

    def check(evidence: Evidence) -> ObjectiveRow:
        when = " of its end" if after_its_end else ""
        text = f"requests meet the objectives again within {limit_s:g} s{when}"
        if evidence.injected is None:
            return ObjectiveRow(text, "nothing was done", is_met=False)
        since_s = evidence.injected.end_s if after_its_end else evidence.injected.start_s
        taken_s = seconds_to_objectives(evidence.records, since_s, evidence.objectives)
        if taken_s is None:
            return ObjectiveRow(text, "not before the end of the run", is_met=False)
        return ObjectiveRow(text, f"{taken_s} s", taken_s <= limit_s)

    return Check(check, is_timed=True)


def fault_is_done() -> Check:
    """What was to be done to the server happened, and was over before the run was."""

    def check(evidence: Evidence) -> ObjectiveRow:
        injected = evidence.injected
        if injected is None:
            return ObjectiveRow("it is over before the run is", "it is not", is_met=False)
        return ObjectiveRow(injected.start_text, injected.told, injected.is_done)

    return Check(check)


def first_token_within(limit_s: float) -> Check:
    """From the arrival of the run's first request to its first token."""

    def check(evidence: Evidence) -> ObjectiveRow:
        text = f"the first request has its first token within {limit_s:g} s"
        first = min(evidence.records, key=lambda record: record.intended_ns, default=None)
        values = TTFT.values(first) if first is not None else ()
        if not values:
            return ObjectiveRow(text, "it never had one", is_met=False)
        return ObjectiveRow(text, f"{values[0] / 1000:.2f} s", values[0] / 1000 <= limit_s)

    return Check(check, is_timed=True)


def first_tokens_no_later(entry: str, than: str, most: float) -> Check:
    """The ttft of one part of the mix against that of another; unmet only where chance does not explain it."""

    def check(evidence: Evidence) -> ObjectiveRow:
        text = f"ttft of {entry} not proven above {most:g} times that of {than}"
        ttfts_ms = []
        for label in (entry, than):
            records = [record for record in evidence.counted if record.entry == label]
            ttfts_ms.append([value for record in records for value in TTFT.values(record)])
            if not ttfts_ms[-1]:
                return ObjectiveRow(text, f"{label} has no ttft", is_met=False)
        mine, others = ttfts_ms
        measured = f"{statistics.median(mine):.0f} ms against {statistics.median(others):.0f} ms"
        z = rank_sum_z(mine, [most * other for other in others])
        return ObjectiveRow(text, measured, z <= PROVEN_Z)

    return Check(check, is_timed=True)


def rank_sum_z(a: Sequence[float], b: Sequence[float]) -> float:
    """How far `a` lies above `b`, in standard deviations: the normal approximation of the rank-sum test.

    H. B. Mann and D. R. Whitney, Annals of Mathematical Statistics 18 (1947); good from about ten values each,
    and without the correction for ties, of which times have few.
    """
    below = np.sort(np.asarray(b))
    num_above = (np.searchsorted(below, a, "left") + np.searchsorted(below, a, "right")).sum() / 2
    pairs = len(a) * len(b)
    return float((num_above - pairs / 2) / np.sqrt(pairs * (len(a) + len(b) + 1) / 12))


def _why(failed: Sequence[Record]) -> str:
    """What the first of them said."""
    if not failed:
        return ""
    first = min(failed, key=lambda record: record.end_ns)
    return f"; the first: {first.outcome.value} {first.detail}"[:200].rstrip()
