from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from benchmarks.records import ClientSample
from benchmarks.run.progress import Progress
from benchmarks.scenarios.faults import FaultFailed
from benchmarks.scenarios.injection import Injected, Injection, is_well
from configs.workload import Objectives

SETTLE_S = 5.0
OBJECTIVES = Objectives(ttft_ms=100, attainment=0.75)


class FakeFault:
    start_text = "a replica is killed"

    def __init__(self, failure: str | None = None) -> None:
        self._failure = failure
        self.is_done = threading.Event()

    def inject(self) -> str:
        self.is_done.set()
        if self._failure is not None:
            raise FaultFailed(self._failure)
        return "killed process 5"


def progress(at_s: float, outcomes: Mapping[float, Mapping[str, int]] | None = None) -> Progress:
    samples = [
        ClientSample(0, at, 1, 1, 0, 1, 0.1, None, 1.0, 1.0, 1.0, num_outcomes=dict(counts))
        for at, counts in (outcomes or {}).items()
    ]
    return Progress(at_s, 60.0, 100, 0, 0, 0, {}, samples)


def inject(fault: FakeFault, *, at_s: float = 0.0, now_s: float = 7.0) -> tuple[Injection, Injected | None]:
    injection = Injection(
        fault, at_s, min_duration_s=10.0, settle_s=SETTLE_S, objectives=OBJECTIVES, clock=lambda: now_s
    )
    injection.on_progress(progress(0.25))
    assert fault.is_done.wait(10)
    return injection, injection.finish(10)


def test_it_is_told_in_seconds_of_the_run() -> None:
    _, injected = inject(FakeFault())
    assert injected == Injected(0.25, 0.25, "a replica is killed", "killed process 5", is_done=True)


def test_a_fault_that_fails_is_told_too() -> None:
    _, injected = inject(FakeFault("no replica runs"))
    assert injected is not None
    assert (injected.told, injected.is_done) == ("no replica runs", False)


def test_nothing_happens_before_its_time() -> None:
    fault = FakeFault()
    injection = Injection(
        fault, 3600.0, min_duration_s=10.0, settle_s=SETTLE_S, objectives=OBJECTIVES, clock=lambda: 7.0
    )
    injection.on_progress(progress(0.25))
    assert injection.stop_when(progress(60.0)) is None
    assert injection.finish(10) is None
    assert not fault.is_done.is_set()


def test_a_run_that_never_began_has_no_fault() -> None:
    fault = FakeFault()
    assert (
        Injection(fault, 0.0, min_duration_s=10.0, settle_s=SETTLE_S, objectives=OBJECTIVES).finish(10)
        is None
    )
    assert not fault.is_done.is_set()


@pytest.mark.parametrize(
    ("at_s", "outcomes", "is_over"),
    [
        (9.0, {8.0: {"ok": 3}}, False),  # shorter than asked for
        (10.0, {9.0: {"ok": 3}}, True),
        (10.0, {9.0: {"ok": 3, "reset": 1}}, False),
        (10.0, {4.9: {"reset": 1}, 9.0: {"ok": 3}}, True),
        (10.0, {4.9: {"ok": 3}}, False),  # nothing has ended for a while
    ],
)
def test_the_run_ends_when_all_is_well_again(
    at_s: float, outcomes: Mapping[float, Mapping[str, int]], *, is_over: bool
) -> None:
    injection, _ = inject(FakeFault())
    assert (injection.stop_when(progress(at_s, outcomes)) is not None) is is_over


def test_what_has_just_been_done_has_to_show_first() -> None:
    injection, injected = inject(FakeFault())
    assert injected is not None
    injection._min_duration_s = 0.0
    soon_s = injected.end_s + SETTLE_S - 0.1
    assert injection.stop_when(progress(soon_s, {soon_s: {"ok": 3}})) is None
    assert injection.stop_when(progress(soon_s + 0.2, {soon_s + 0.2: {"ok": 3}})) is not None


def test_users_who_leave_are_well() -> None:
    assert is_well(progress(10.0, {9.0: {"ok": 1, "abandoned": 1}}), 5.0, OBJECTIVES)
    assert not is_well(progress(10.0, {9.0: {}}), 5.0, OBJECTIVES)


@pytest.mark.parametrize(
    ("ttfts_ms", "expected"),
    [([90.0, 50.0, 100.0, 5000.0], True), ([90.0, 101.0, 100.0, 5000.0], False), ([], True)],
)
def test_answers_that_come_late_are_not_well(ttfts_ms: list[float], *, expected: bool) -> None:
    sample = ClientSample(
        0, 9.0, 1, 1, 0, 1, 0.1, None, 1.0, 1.0, 1.0, num_outcomes={"ok": 4}, ttft_ms=ttfts_ms
    )
    found = Progress(10.0, 60.0, 100, 0, 0, 0, {}, [sample])
    assert is_well(found, 5.0, OBJECTIVES) is expected
    assert is_well(found, 5.0, Objectives())


def test_events_of_a_moment_are_one_and_of_a_while_are_two() -> None:
    assert Injected(3.0, 3.1, "a replica is killed", "killed process 5", is_done=True).events() == {
        3.0: "a replica is killed: killed process 5"
    }
    assert Injected(3.0, 20.0, "an update", "replaced 5 replicas", is_done=True).events() == {
        3.0: "an update",
        20.0: "replaced 5 replicas",
    }
