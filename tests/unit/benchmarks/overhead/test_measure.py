"""From a run's records to the figures that are compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.overhead.measure import Load, measured_of, workload_of
from benchmarks.overhead.pace import Pace
from benchmarks.records import Record
from benchmarks.run.execute import Run
from configs.workload import Workload

MakeRun = Callable[..., Run]
LOAD = Load(num_callers=32, duration_s=10.0, warm_up_s=2.0)


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("hello\n")
    return workload_of(LOAD, Pace(), 1, prompt)


def test_only_requests_after_the_warm_up_count(made_run: MakeRun, workload: Workload) -> None:
    measured = measured_of(made_run([20.0] * 100, workload=workload), {})
    assert len(measured.raw["ttft_us"]) == 80
    assert measured.requests_per_s == pytest.approx(10.0)
    assert measured.num_failed == 0


def test_only_a_model_is_asked_for_so_many_tokens(tmp_path: Path) -> None:
    held = Load(32, 10.0, 2.0, holds_length=True)
    asked = [workload_of(load, Pace(num_tokens=48), 1, tmp_path / "prompt.txt") for load in (LOAD, held)]
    requests = [workload.requests[0] for workload in asked]
    assert [request.hold_output_length for request in requests if request.kind == "chat"] == [False, True]


def test_tokens_that_come_together_show_in_the_pauses(made_run: MakeRun, workload: Workload) -> None:
    run = made_run([20.0] * 100, workload=workload)
    joined = tuple(msgspec.structs.replace(record, gaps_us=[0, 10_000]) for record in run.records)
    measured = measured_of(_with(run, joined), {})
    assert measured.pause_ms["p50"] == 10.0
    assert measured.tokens_per_arrival == 1.5
    assert measured.raw["gaps_tenths_of_ms"] == {"0": 80, "100": 80}


def test_a_failure_is_counted_and_kept(made_run: MakeRun, workload: Workload) -> None:
    measured = measured_of(made_run([20.0] * 50 + [None] + [20.0] * 49, workload=workload), {})
    assert measured.num_failed == 1
    assert measured.raw["failures"] == {"http_error": 1}
    assert measured.raw["ttft_us"].count(None) == 1


def test_a_server_that_answers_nothing_is_no_measurement(made_run: MakeRun, workload: Workload) -> None:
    with pytest.raises(BenchmarkError, match="nothing was answered"):
        measured_of(made_run([None] * 100, workload=workload), {})


def test_a_pace_says_how_many_answers_there_can_be() -> None:
    assert Pace(20.0, 5.0, 32).answer_s == pytest.approx(0.175)
    assert Pace(20.0, 5.0, 32).ideal_rps(35) == pytest.approx(200.0)


def _with(run: Run, records: tuple[Record, ...]) -> Run:
    return Run(run.folder, run.workload, run.settings, records, run.samples, run.summary)
