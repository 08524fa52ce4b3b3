"""What a fault may do to clients, and whether it did more: pure functions over a window's requests.

One rule holds for all faults: no stream ends without its client knowing, no token comes twice or not at all.
The others say which requests may suffer, and for how long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.conformance.tally import Ended, Ending, Tally
from benchmarks.report.inputs import ObjectiveRow
from benchmarks.scenarios.injection import Injected


@dataclass(frozen=True, slots=True)
class Expectation:
    """What clients may see of one fault.

    Args:
        may_tell: requests that were in flight may be cut with an error event, or answered with an error status.
        may_break: their connection may break, because what died held its other end.
        may_fail_for_s: so long after the fault, requests that arrive may still fail; None: none that arrives
            after it may.
        recover_within_s: from the fault until everything that arrives ends well.
        single_entries: entries of the load that need a deployment with one replica: until the recovery they may
            be told that it is not there.
    """

    may_tell: bool = False
    may_break: bool = False
    may_fail_for_s: float | None = None
    recover_within_s: float = 0.0
    single_entries: tuple[str, ...] = ()


NOTHING = Expectation()  # nobody notices
# Between our signal and the process' end lies a moment, and the fault's own time is told by a thread.
IN_FLIGHT_GRACE_S = 0.5


def judge(
    expectation: Expectation, requests: Sequence[Ended], counted: Tally, injected: Injected | None
) -> tuple[ObjectiveRow, ...]:
    """The demands of one fault with what was measured."""
    if injected is None:
        return (ObjectiveRow("it is over before the window is", "it was not", is_met=False),)
    rows = [
        ObjectiveRow(injected.start_text, injected.told, injected.is_done),
        _none_lost(counted),
        _text_is_right(counted),
    ]
    if expectation == NOTHING:
        rows.append(_none_fails(requests, counted))
    else:
        rows.append(_only_those_that_may(expectation, requests, injected))
        rows.append(_recovers(expectation, requests, injected))
    return tuple(rows)


def recovery_s(requests: Sequence[Ended], fault_s: float) -> float | None:
    """Seconds from the fault to the arrival of the first request from which on all end well.

    0.0: none that arrived after the fault failed. None: nothing that arrived after the last failure is known
    to have ended well.
    """
    late = [request for request in requests if request.intended_s >= fault_s]
    last_failed_s = max((request.intended_s for request in late if request.has_failed), default=None)
    if last_failed_s is None:
        return 0.0 if late else None
    after_s = [
        request.intended_s
        for request in late
        if request.kind is Ending.COMPLETED and request.intended_s > last_failed_s
    ]
    return min(after_s) - fault_s if after_s else None


def _none_lost(counted: Tally) -> ObjectiveRow:
    lost = counted.num(Ending.LOST)
    return ObjectiveRow("no stream ends silently", f"{lost} of {counted.num_started}", lost == 0)


def _text_is_right(counted: Tally) -> ObjectiveRow:
    measured = (
        f"{counted.num_doubled} twice, {counted.num_missing} missing in {counted.num_compared} answers"
        if counted.num_compared
        else "no answer could be compared"
    )
    is_met = bool(counted.num_compared) and not counted.wrong
    return ObjectiveRow("no token comes twice, none is missing", measured, is_met)


def _none_fails(requests: Sequence[Ended], counted: Tally) -> ObjectiveRow:
    failed = [request for request in requests if request.has_failed]
    measured = f"{len(failed)} of {counted.num_asked}{_first(failed)}"
    return ObjectiveRow("no request fails", measured, counted.num_asked > 0 and not failed)


def _only_those_that_may(
    expectation: Expectation, requests: Sequence[Ended], injected: Injected
) -> ObjectiveRow:
    failed = [request for request in requests if request.has_failed]
    others = [request for request in failed if not _may(expectation, request, injected)]
    ways = [word for word, may in (("told", expectation.may_tell), ("broken", expectation.may_break)) if may]
    text = f"only requests in flight fail, {' or '.join(ways)}"
    if expectation.may_fail_for_s is not None:
        text += f"; those that come until {expectation.may_fail_for_s:g} s after its end too"
    if expectation.single_entries:
        text += f"; and told, what needs a single replica ({', '.join(expectation.single_entries)})"
    return ObjectiveRow(text, f"{len(others)} others{_first(others)}", not others)


def _may(expectation: Expectation, request: Ended, injected: Injected) -> bool:
    """Whether the fault excuses a request that failed."""
    until_s = injected.start_s + IN_FLIGHT_GRACE_S
    if expectation.may_fail_for_s is not None:
        until_s = max(until_s, injected.end_s + expectation.may_fail_for_s)
    is_told = request.kind in (Ending.TOLD, Ending.ERROR, Ending.REFUSED)
    if request.record.entry in expectation.single_entries and is_told:
        until_s = max(until_s, injected.start_s + expectation.recover_within_s)
    if request.intended_s > until_s or request.end_s < injected.start_s:
        return False
    if request.kind in (
        Ending.BROKEN,
        Ending.UNANSWERED,
    ):  # with its connection, before its status or after it
        return expectation.may_break
    return expectation.may_tell and is_told


def _recovers(expectation: Expectation, requests: Sequence[Ended], injected: Injected) -> ObjectiveRow:
    text = f"all is well again within {expectation.recover_within_s:g} s"
    taken_s = recovery_s(requests, injected.start_s)
    if taken_s is None:
        return ObjectiveRow(text, "not before the window's end", is_met=False)
    return ObjectiveRow(text, f"{taken_s:.1f} s", taken_s <= expectation.recover_within_s)


def _first(failed: Sequence[Ended]) -> str:
    if not failed:
        return ""
    first = min(failed, key=lambda request: request.end_s)
    return f"; the first: {first.kind} {first.record.status or ''} {first.record.detail}"[:200].rstrip()
