from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.records import Outcome, Record
from benchmarks.scenarios import checks
from benchmarks.scenarios.checks import Evidence
from benchmarks.scenarios.injection import Injected
from benchmarks.scenarios.recovery import seconds_to_objectives, seconds_to_recovery
from configs.workload import Objectives

MakeRecord = Callable[..., Record]
OBJECTIVES = Objectives(ttft_ms=150, tpot_ms=50, attainment=0.9)
KILL = Injected(10.0, 10.1, "a replica is killed", "killed process 5", is_done=True)


def evidence(records: list[Record], injected: Injected | None = None) -> Evidence:
    return Evidence(records, records, OBJECTIVES, injected)


@pytest.mark.parametrize(("num_failed", "is_met"), [(0, True), (1, True), (2, False)])
def test_the_share_of_errors(record: MakeRecord, num_failed: int, *, is_met: bool) -> None:
    records = [record(i, outcome=Outcome.RESET if i < num_failed else Outcome.OK) for i in range(100)]
    row = checks.errors_at_most(0.01)(evidence(records))
    assert row.is_met is is_met
    assert row.measured == f"{num_failed} of 100"


def test_users_who_leave_and_requests_that_never_left_are_no_errors(record: MakeRecord) -> None:
    records = [record(0), record(1, outcome=Outcome.ABANDONED)]
    records.append(record(2, first_s=None, outcome=Outcome.INTERRUPTED, sent_ns=None))
    assert checks.none_fails()(evidence(records)).measured == "0 of 2"
    assert checks.none_fails()(evidence(records)).is_met


@pytest.mark.parametrize("check", [checks.errors_at_most(0.01), checks.none_fails(), checks.attains(0.5)])
def test_nothing_asked_is_nothing_shown(check: checks.Check) -> None:
    assert not check(evidence([])).is_met


def test_attainment_counts_failed_requests(record: MakeRecord) -> None:
    records = [record(i) for i in range(8)] + [record(8, first_s=0.5)]
    records.append(record(9, first_s=None, outcome=Outcome.CONNECT))
    row = checks.attains(0.9)(evidence(records))
    assert (row.measured, row.is_met) == ("80.0 %", False)
    assert row.text == "at least 90 % of the requests have ttft at most 150 ms, tpot at most 50 ms"
    assert checks.attains(0.8)(evidence(records)).is_met


def test_the_first_failure_says_why(record: MakeRecord) -> None:
    records = [
        record(0),
        record(2, outcome=Outcome.RESET, detail="late"),
        record(1, outcome=Outcome.HTTP_ERROR, detail="503: gone"),
    ]
    row = checks.none_fails()(evidence(records))
    assert row.measured == "2 of 3; the first: http_error 503: gone"


class TestRecovery:
    def test_a_fault_that_nobody_notices(self, record: MakeRecord) -> None:
        assert seconds_to_recovery([record(at) for at in range(20)], 10.0) == 0

    def test_what_failed_before_does_not_count(self, record: MakeRecord) -> None:
        records = [record(3, outcome=Outcome.RESET), *(record(at) for at in range(20))]
        assert seconds_to_recovery(records, 10.0) == 0

    def test_a_request_in_flight_costs_a_second(self, record: MakeRecord) -> None:
        records = [record(9.9, outcome=Outcome.RESET, end_s=0.5), *(record(at) for at in range(20))]
        assert seconds_to_recovery(records, 10.0) == 1

    def test_it_is_the_arrival_that_counts(self, record: MakeRecord) -> None:
        # Gave up at 70.5, but all that came two seconds after the fault was answered.
        records = [record(11.5, outcome=Outcome.TIMEOUT, end_s=60.0), *(record(12 + at) for at in range(5))]
        assert seconds_to_recovery(records, 10.0) == 2

    def test_good_ones_in_between_are_no_recovery(self, record: MakeRecord) -> None:
        records = [record(10 + at, outcome=Outcome.RESET if at == 6 else Outcome.OK) for at in range(10)]
        assert seconds_to_recovery(records, 10.0) == 7

    def test_a_server_that_stays_down(self, record: MakeRecord) -> None:
        records = [record(at, outcome=Outcome.RESET if at > 9 else Outcome.OK) for at in range(20)]
        assert seconds_to_recovery(records, 10.0) is None
        row = checks.recovers_within(30)(evidence(records, KILL))
        assert (row.measured, row.is_met) == ("not before the end of the run", False)

    def test_the_limit(self, record: MakeRecord) -> None:
        records = [record(10 + at, outcome=Outcome.RESET if at < 4 else Outcome.OK) for at in range(10)]
        assert checks.recovers_within(4)(evidence(records, KILL)).is_met
        assert not checks.recovers_within(3)(evidence(records, KILL)).is_met

    def test_without_a_fault_there_is_nothing_to_recover_from(self, record: MakeRecord) -> None:
        assert not checks.recovers_within(30)(evidence([record(0)])).is_met


class TestObjectivesAgain:
    def test_slow_answers_are_not_well(self, record: MakeRecord) -> None:
        records = [record(10 + at, first_s=5.0 if at < 6 else 0.1, end_s=5.1) for at in range(12)]
        assert seconds_to_recovery(records, 10.0) == 0
        assert seconds_to_objectives(records, 10.0, Objectives(ttft_ms=150)) == 6

    def test_one_good_second_is_luck(self, record: MakeRecord) -> None:
        slow = {0, 1, 3, 4}
        records = [record(10 + at, first_s=5.0 if at in slow else 0.1) for at in range(12)]
        assert seconds_to_objectives(records, 10.0, OBJECTIVES) == 5

    def test_a_second_may_have_as_many_slow_ones_as_the_attainment_leaves(self, record: MakeRecord) -> None:
        records = [record(10 + at / 10, first_s=0.5 if at % 10 == 0 else 0.1) for at in range(50)]
        assert seconds_to_objectives(records, 10.0, OBJECTIVES) == 0

    def test_never(self, record: MakeRecord) -> None:
        records = [record(at, first_s=1.0) for at in range(20)]
        assert seconds_to_objectives(records, 10.0, OBJECTIVES) is None
        assert not checks.meets_again_within(30)(evidence(records, KILL)).is_met


def test_failures_are_told_by_kind_and_have_no_limit(record: MakeRecord) -> None:
    outcomes = [Outcome.OK, Outcome.REFUSED, Outcome.RESET, Outcome.REFUSED]
    records = [record(at, outcome=outcome) for at, outcome in enumerate(outcomes)]
    row = checks.failures_told()(evidence(records))
    assert (row.measured, row.is_met) == ("3 of 4: 2 refused, 1 reset", True)
    assert checks.failures_told()(evidence(records[:1])).measured == "0 of 1"


def test_after_an_update_the_time_counts_from_its_end(record: MakeRecord) -> None:
    update = Injected(3.0, 10.0, "an update", "replaced 5 replicas", is_done=True)
    firsts = {at: 2.0 if at < 12 else 0.1 for at in range(20)}
    records = [record(at, first_s=first_s, end_s=first_s + 0.1) for at, first_s in firsts.items()]
    row = checks.meets_again_within(5, after_its_end=True)(evidence(records, update))
    assert (row.measured, row.is_met) == ("2 s", True)
    assert checks.meets_again_within(5)(evidence(records, update)).measured == "9 s"


def test_only_what_was_in_flight_may_fail(record: MakeRecord) -> None:
    in_flight = record(9.9, outcome=Outcome.STREAM_ERROR, end_s=0.3)
    row = checks.only_in_flight_fail(1.0)(evidence([in_flight, record(12)], KILL))
    assert (row.measured, row.is_met) == ("0 of 1 that failed", True)
    late = record(11.1, outcome=Outcome.HTTP_ERROR, detail="503")
    row = checks.only_in_flight_fail(1.0)(evidence([in_flight, late], KILL))
    assert (row.measured, row.is_met) == ("1 of 2 that failed; the first: http_error 503", False)


def test_what_was_done_is_a_row() -> None:
    row = checks.fault_is_done()(evidence([], KILL))
    assert (row.text, row.measured, row.is_met) == ("a replica is killed", "killed process 5", True)
    failed = Injected(1.0, 2.0, "an update", "2 of 5 replicas were not replaced", is_done=False)
    assert not checks.fault_is_done()(evidence([], failed)).is_met
    assert not checks.fault_is_done()(evidence([])).is_met


def test_the_first_request_counts_whatever_ended_first(record: MakeRecord) -> None:
    records = [record(1, first_s=0.1), record(0.5, first_s=4.0, end_s=5.0)]
    row = checks.first_token_within(10)(evidence(records))
    assert (row.measured, row.is_met) == ("4.00 s", True)
    assert not checks.first_token_within(3)(evidence(records)).is_met
    failed = [record(0, first_s=None, outcome=Outcome.TIMEOUT), record(1)]
    assert checks.first_token_within(10)(evidence(failed)).measured == "it never had one"


class TestSharedPrefixes:
    check = checks.first_tokens_no_later("shared", "distinct", 1.25)

    def records(self, record: MakeRecord, entry: str, *first_s: float) -> list[Record]:
        return [record(at, first_s=first, entry=entry) for at, first in enumerate(first_s)]

    def test_both_have_to_be_there(self, record: MakeRecord) -> None:
        row = self.check(evidence(self.records(record, "shared", 0.1)))
        assert (row.measured, row.is_met) == ("distinct has no ttft", False)

    def test_a_cache_that_helps(self, record: MakeRecord) -> None:
        records = self.records(record, "shared", *[0.05] * 12) + self.records(record, "distinct", *[0.1] * 12)
        row = self.check(evidence(records))
        assert (row.measured, row.is_met) == ("50 ms against 100 ms", True)

    def test_what_chance_explains_is_no_proof(self, record: MakeRecord) -> None:
        records = self.records(record, "shared", 0.3, 0.1, 0.2) + self.records(
            record, "distinct", 0.1, 0.1, 0.2
        )
        assert self.check(evidence(records)).is_met

    def test_what_it_does_not_explain_is(self, record: MakeRecord) -> None:
        records = self.records(record, "shared", *[0.13] * 12) + self.records(record, "distinct", *[0.1] * 12)
        assert not self.check(evidence(records)).is_met


def test_the_rank_sum_of_known_samples() -> None:
    # Every one of 3 above every one of 4: U is 12, its mean 6, its variance 3 * 4 * 8 / 12 = 8.
    assert checks.rank_sum_z([5, 6, 7], [1, 2, 3, 4]) == pytest.approx(6 / 8**0.5)
    assert checks.rank_sum_z([1, 2, 3], [1, 2, 3]) == 0.0
    assert checks.rank_sum_z([0], [1, 2]) == pytest.approx(-1 / (2 / 3) ** 0.5)


def test_a_part_of_the_mix_has_a_limit_of_its_own(record: MakeRecord) -> None:
    records = [
        record(at, entry="embeddings", first_s=None, end_s=0.3 if at else 2.0, is_stream=False)
        for at in range(4)
    ]
    row = checks.ends_within("embeddings", 1000, 0.75)(evidence([*records, record(9, end_s=9.0)]))
    assert (row.measured, row.is_met) == ("75.0 %", True)
    assert not checks.ends_within("chat", 1000, 0.75)(evidence(records)).is_met
