"""From a run's records to the figures that are compared."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.frontdoor import hits
from benchmarks.frontdoor.measure import Load, answer_us, measured_of, workload_of
from benchmarks.frontdoor.settings import PACE
from benchmarks.frontdoor.text import as_text
from benchmarks.run.execute import Run

MakeRun = Callable[..., Run]
STREAM = Load(num_callers=32, is_stream=True, duration_s=10.0, warm_up_s=2.0)


def test_only_requests_after_the_warm_up_count(made_run: MakeRun) -> None:
    run = made_run([500.0] * 20 + [20.0] * 80, workload=workload_of(STREAM, 32, 1))
    measured = measured_of(run, {"haproxy": 1.0})
    assert measured.answer_ms == {"p50": 20.0, "p99": 20.0}
    assert measured.whole_ms["p50"] == 30.1
    assert measured.requests_per_s == pytest.approx(10.0)
    assert len(measured.raw["answer_us"]) == 80


def test_a_documents_answer_is_there_at_its_end(made_run: MakeRun) -> None:
    (record,) = made_run([20.0]).records
    assert answer_us(record) == 20_000
    assert answer_us(msgspec.structs.replace(record, is_stream=False)) == 30_100


def test_a_failure_is_counted(made_run: MakeRun) -> None:
    measured = measured_of(made_run([20.0] * 9 + [None]), {})
    assert measured.num_failed == 1
    assert measured.raw["failures"] == {"http_error": 1}
    with pytest.raises(BenchmarkError, match="nothing was answered"):
        measured_of(made_run([None] * 10), {})


def test_no_question_is_asked_twice_unless_it_shall_be(tmp_path: pytest.TempPathFactory) -> None:
    (request,) = workload_of(STREAM, 32, 1).requests
    assert request.texts is None
    (request,) = workload_of(Load(1, is_stream=False, duration_s=1, warm_up_s=0), 32, 1, tmp_path).requests
    assert request.texts == str(tmp_path)
    assert not request.stream


def test_an_answer_that_took_the_models_time_was_no_hit() -> None:
    slow_us = int(PACE.ttft_ms * 1e3)
    record = {
        "store": "redis",
        "hit": "exact",
        "num_callers": 32,
        "kind": "stream",
        "answer_ms": {"p50": 2.0, "p99": 9.0},
        "whole_ms": {"p50": 3.0, "p99": 9.0},
        "requests_per_s": 900.0,
        "num_failed": 0,
        "raw": {"answer_us": [2000, 2000, slow_us]},
    }
    (row,) = hits.summarise([record])
    assert (row["num"], row["num_computed"]) == (3, 1)
    assert "1 of 3" in as_text({"hits": [row], "verdicts": []})
