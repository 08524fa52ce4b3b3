"""From a run's records to the figures that are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from benchmarks.application import Started
from benchmarks.errors import BenchmarkError
from benchmarks.frontdoor import hits
from benchmarks.frontdoor.measure import Load, answer_us, measured_of, workload_of
from benchmarks.frontdoor.settings import PACE, TENANT
from benchmarks.frontdoor.started import Open
from benchmarks.frontdoor.text import as_text
from benchmarks.overhead.pace import Pace
from benchmarks.run.execute import Run
from configs.workload import ChatRequest, UniformLength

MakeRun = Callable[..., Run]
STREAM = Load(num_callers=32, is_stream=True, duration_s=10.0, warm_up_s=2.0)


def test_only_requests_after_the_warm_up_count(made_run: MakeRun) -> None:
    run = made_run([500.0] * 20 + [120.0] * 80, workload=workload_of(STREAM, PACE, 1))
    measured = measured_of(run, PACE, {"haproxy": 1.0})
    assert measured.answer_ms == {"p50": 20.0, "p99": 20.0}
    assert measured.whole_ms["p50"] == 130.1
    assert measured.requests_per_s == pytest.approx(10.0)
    assert len(measured.raw["answer_us"]) == 80


def test_the_engines_own_time_is_taken_off(made_run: MakeRun) -> None:
    (stream,) = made_run([120.0]).records  # of three tokens
    document = msgspec.structs.replace(stream, is_stream=False)
    pace = Pace(ttft_ms=100.0, tpot_ms=12.0, num_tokens=32)
    assert answer_us(stream, pace) == 20_000
    assert answer_us(document, pace) == 130_100 - 124_000
    assert (answer_us(stream, None), answer_us(document, None)) == (120_000, 130_100)


def test_callers_do_not_stay_in_step() -> None:
    (request,) = workload_of(STREAM, PACE, 1).requests
    assert isinstance(request, ChatRequest)
    assert isinstance(request.output_tokens, UniformLength)
    assert request.output_tokens.low < PACE.num_tokens < request.output_tokens.high


def test_a_failure_is_counted(made_run: MakeRun) -> None:
    measured = measured_of(made_run([20.0] * 9 + [None]), None, {})
    assert measured.num_failed == 1
    assert measured.raw["failures"] == {"http_error": 1}
    with pytest.raises(BenchmarkError, match="nothing was answered"):
        measured_of(made_run([None] * 10), None, {})


def test_no_question_is_asked_twice_unless_it_shall_be(tmp_path: Path) -> None:
    (request,) = workload_of(STREAM, PACE, 1).requests
    assert isinstance(request, ChatRequest)
    assert request.texts is None
    texts = tmp_path / "texts.txt"
    (request,) = workload_of(Load(1, is_stream=False, duration_s=1, warm_up_s=0), PACE, 1, texts).requests
    assert isinstance(request, ChatRequest)
    assert (request.texts, request.output_tokens, request.stream) == (str(texts), PACE.num_tokens, False)


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


@pytest.fixture
def door() -> Open:
    return Open(Started("http://127.0.0.1:9", 1, 0.0), {TENANT: "key"})


def answers(monkeypatch: pytest.MonkeyPatch, *told: str) -> list[dict[str, Any]]:
    """The cache says these in turn, and the last one for ever; what it is asked."""
    asked: list[dict[str, Any]] = []

    def post(url: str, content: bytes, headers: Mapping[str, str], **_: object) -> httpx.Response:
        said = told[min(len(asked), len(told) - 1)]
        asked.append(msgspec.json.decode(content) | {"cache": headers.get("x-manta-cache")})
        return httpx.Response(200, headers={"x-manta-cache": said}, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", post)
    return asked


def test_an_answer_is_kept_so_that_its_meaning_finds_it(monkeypatch: pytest.MonkeyPatch, door: Open) -> None:
    asked = answers(monkeypatch, "miss", "hit")
    hits.keep(door, STREAM)
    assert [one["cache"] for one in asked] == ["semantic", "semantic"]
    assert {one["messages"][0]["content"] for one in asked} == {hits.KEPT}
    answers(monkeypatch, "miss")
    with pytest.raises(BenchmarkError, match="was not kept"):
        hits.keep(door, STREAM)


def test_no_way_is_measured_that_does_not_find_the_answer(
    monkeypatch: pytest.MonkeyPatch, door: Open
) -> None:
    asked = answers(monkeypatch, "semantic; score=0.990")
    hits.try_once(door, STREAM, "semantic", hits.ASKED)
    assert (asked[0]["cache"], asked[0]["max_tokens"], asked[0]["stream"]) == ("semantic", 32, True)
    answers(monkeypatch, "hit")  # it was computed once and is found as itself
    with pytest.raises(BenchmarkError, match=r"semantic, stream: .* said: hit"):
        hits.try_once(door, STREAM, "semantic", hits.ASKED)
