"""What a fault may do, and what is more than it may."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from benchmarks.client.exchange import NO_END
from benchmarks.conformance.expectations import NOTHING, Expectation, judge, recovery_s
from benchmarks.conformance.tally import Ended, ended, tally
from benchmarks.records import Outcome, Record
from benchmarks.report.inputs import ObjectiveRow
from benchmarks.scenarios.injection import Injected

MakeRecord = Callable[..., Record]
MakeWindow = Callable[..., tuple[Ended, ...]]
KILL = Expectation(may_tell=True, recover_within_s=5.0)
BREAK = Expectation(may_tell=True, may_break=True, recover_within_s=5.0)


def judged(
    expectation: Expectation, requests: Sequence[Ended], injected: Injected | None
) -> tuple[ObjectiveRow, ...]:
    return judge(expectation, requests, tally(requests, {"seed-0": "manta "}), injected)


def unmet(expectation: Expectation, requests: Sequence[Ended], injected: Injected | None) -> list[str]:
    return [row.text for row in judged(expectation, requests, injected) if not row.is_met]


def test_a_window_in_which_all_ends_well_meets_everything(window: MakeWindow, killed: Injected) -> None:
    assert unmet(NOTHING, window(), killed) == []
    assert unmet(KILL, window(), killed) == []


def test_a_fault_that_was_never_over_meets_nothing(window: MakeWindow) -> None:
    assert len(unmet(NOTHING, window(), None)) == 1


def test_a_fault_that_could_not_be_done_is_told(window: MakeWindow) -> None:
    failed = Injected(3.0, 3.0, "a replica is killed", "no replica runs", is_done=False)
    assert unmet(NOTHING, window(), failed) == ["a replica is killed"]


def test_streams_in_flight_may_be_told_of_a_kill(
    window: MakeWindow, make_record: MakeRecord, killed: Injected
) -> None:
    cut = make_record(2.5, Outcome.STREAM_ERROR, text="manta ", num_pieces=1)
    assert unmet(KILL, window(cut), killed) == []
    assert unmet(NOTHING, window(cut), killed) == ["no request fails"]


def test_nobody_else_may_fail(window: MakeWindow, make_record: MakeRecord, killed: Injected) -> None:
    before = make_record(1.0, Outcome.STREAM_ERROR, took_s=1.0)
    after = make_record(4.0, Outcome.STREAM_ERROR)
    assert unmet(KILL, window(before), killed) == ["only requests in flight fail, told"]
    assert "only requests in flight fail, told" in unmet(KILL, window(after), killed)


def test_a_broken_connection_is_excused_only_where_its_holder_died(
    window: MakeWindow, make_record: MakeRecord, killed: Injected
) -> None:
    broken = make_record(2.5, Outcome.RESET)
    assert unmet(BREAK, window(broken), killed) == []
    assert unmet(KILL, window(broken), killed) == ["only requests in flight fail, told"]


def test_a_silent_end_is_never_excused(window: MakeWindow, make_record: MakeRecord, killed: Injected) -> None:
    silent = make_record(2.5, Outcome.TRUNCATED, detail=NO_END)
    assert "no stream ends silently" in unmet(BREAK, window(silent), killed)


def test_a_wrong_text_is_never_excused(window: MakeWindow, make_record: MakeRecord, killed: Injected) -> None:
    twice = make_record(2.5, text="manta manta ", num_pieces=2)
    assert unmet(BREAK, window(twice), killed) == ["no token comes twice, none is missing"]


def test_texts_must_have_been_compared(make_record: MakeRecord, killed: Injected) -> None:
    requests = ended([make_record(float(second), entry="agent") for second in range(8)])
    assert unmet(NOTHING, requests, killed) == ["no token comes twice, none is missing"]


def test_later_requests_may_fail_where_the_fault_takes_time_to_be_noticed(
    window: MakeWindow, make_record: MakeRecord
) -> None:
    stopped = Injected(3.0, 6.0, "a replica is stopped", "found", is_done=True)
    late = make_record(5.0, Outcome.HTTP_ERROR)
    slow_to_notice = Expectation(may_tell=True, may_fail_for_s=0.0, recover_within_s=5.0)
    assert unmet(slow_to_notice, window(late), stopped) == []
    assert len(unmet(KILL, window(late), stopped)) == 1


def test_recovery_must_come_in_time(window: MakeWindow, make_record: MakeRecord, killed: Injected) -> None:
    quick = Expectation(may_tell=True, may_fail_for_s=10.0, recover_within_s=2.0)
    late = make_record(7.5, Outcome.HTTP_ERROR)
    assert unmet(quick, window(late), killed) == ["all is well again within 2 s"]


def test_recovery_is_the_first_arrival_from_which_on_all_end_well(
    window: MakeWindow, make_record: MakeRecord
) -> None:
    assert recovery_s(window(make_record(5.5, Outcome.REFUSED)), 3.0) == pytest.approx(3.0)


def test_there_is_nothing_to_recover_from_where_only_earlier_requests_failed(
    window: MakeWindow, make_record: MakeRecord
) -> None:
    assert recovery_s(window(make_record(2.9, Outcome.STREAM_ERROR)), 3.0) == 0.0


def test_what_never_comes_back_has_no_recovery(make_record: MakeRecord) -> None:
    requests = ended([make_record(1.0), make_record(4.0, Outcome.CONNECT)])
    assert recovery_s(requests, 3.0) is None


def test_what_needs_a_single_replica_may_be_told_until_the_recovery(
    window: MakeWindow, make_record: MakeRecord, killed: Injected
) -> None:
    waiting = Expectation(may_tell=True, recover_within_s=5.0, single_entries=("agent",))
    assert unmet(waiting, window(make_record(6.0, Outcome.REFUSED, entry="agent")), killed) == []
    assert len(unmet(waiting, window(make_record(6.0, Outcome.REFUSED)), killed)) == 1
    assert len(unmet(waiting, window(make_record(6.0, Outcome.RESET, entry="agent")), killed)) == 1
