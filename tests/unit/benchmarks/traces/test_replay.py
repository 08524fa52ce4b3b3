from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import BadTrace, BenchmarkError
from benchmarks.traces.base import Blocks
from benchmarks.traces.replay import Replay, replay
from configs.workload import TraceArrivals


def replayed(
    folder: Path,
    moments: Sequence[float],
    duration_s: float | None = None,
    max_requests: int = 1000,
    line: dict[str, Any] | None = None,
    **arrivals: Any,
) -> Replay:
    path = folder / "trace.jsonl"
    fields = {"prompt_tokens": 100, "output_tokens": 50} | (line or {})
    path.write_text("".join(json.dumps({"at_s": at_s, **fields}) + "\n" for at_s in moments))
    asked = TraceArrivals.model_validate({"process": "trace", "path": str(path), **arrivals})
    return replay(asked, duration_s, max_requests)


def moments_of(made: Replay) -> list[float]:
    return [request.at_s for request in made.requests]


def test_time_counts_from_the_first_request(tmp_path: Path) -> None:
    made = replayed(tmp_path, [1000, 1001, 1003, 1006])
    assert moments_of(made) == [0, 1, 3, 6]
    assert made.duration_s == 8.0  # four requests, two seconds apart in the mean


def test_a_trace_is_sped_up_and_slowed_down(tmp_path: Path) -> None:
    assert moments_of(replayed(tmp_path, [0, 1, 3], speed_up=2)) == [0, 0.5, 1.5]
    assert moments_of(replayed(tmp_path, [0, 1, 3], speed_up=0.5)) == [0, 2, 6]


def test_the_start_is_skipped_in_the_trace_s_own_seconds(tmp_path: Path) -> None:
    assert moments_of(replayed(tmp_path, [5, 6, 8, 11], skip_s=2, speed_up=2)) == [0.5, 2]


def test_a_number_of_requests_is_kept(tmp_path: Path) -> None:
    made = replayed(tmp_path, [0, 1, 2, 3, 4], skip_s=1)
    assert moments_of(made) == [0, 1, 2, 3]
    path = tmp_path / "trace.jsonl"
    asked = TraceArrivals(process="trace", path=str(path), max_requests=2, skip_s=1)
    assert moments_of(replay(asked, None, 2)) == [0, 1]


def test_what_is_past_the_kept_part_is_not_read(tmp_path: Path) -> None:
    replayed(tmp_path, [0, 1, 2])
    path = tmp_path / "trace.jsonl"
    path.write_text(path.read_text() + "broken\n")
    asked = TraceArrivals(process="trace", path=str(path), max_requests=3)
    assert len(replay(asked, None, 10).requests) == 3
    with pytest.raises(BadTrace, match="line 4"):
        replay(asked.model_copy(update={"max_requests": 4}), None, 10)


@pytest.mark.parametrize(
    ("duration_s", "num_requests", "lasts_s"), [(2.5, 3, 2.5), (2.0, 2, 2.0), (100.0, 4, 4.0), (3.5, 4, 3.5)]
)
def test_a_duration_makes_a_trace_shorter_and_never_longer(
    tmp_path: Path, duration_s: float, num_requests: int, lasts_s: float
) -> None:
    made = replayed(tmp_path, [0, 1, 2, 3], duration_s)
    assert len(made.requests) == num_requests
    assert made.duration_s == lasts_s
    assert all(request.at_s < made.duration_s for request in made.requests)


def test_lengths_are_cut_and_never_stretched(tmp_path: Path) -> None:
    line = {"hash_ids": [1, 2, 3, 4], "block_tokens": 25}
    (cut,) = replayed(tmp_path, [0], line=line, max_prompt_tokens=60, max_output_tokens=20).requests
    assert (cut.num_prompt_tokens, cut.num_output_tokens) == (60, 20)
    assert cut.blocks == Blocks((1, 2, 3), 25)
    (whole,) = replayed(tmp_path, [0], line=line, max_prompt_tokens=600, max_output_tokens=600).requests
    assert (whole.num_prompt_tokens, whole.num_output_tokens) == (100, 50)
    assert whole.blocks == Blocks((1, 2, 3, 4), 25)


@pytest.mark.parametrize("moments", [[7], [7, 7, 7]])
def test_requests_that_come_at_once_have_a_second(tmp_path: Path, moments: list[float]) -> None:
    made = replayed(tmp_path, moments)
    assert moments_of(made) == [0] * len(moments)
    assert made.duration_s == 1.0


def test_a_part_without_requests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match=r"has no request after skip_s 5$"):
        replayed(tmp_path, [0, 1], skip_s=5)
    with pytest.raises(BadTrace, match="has no request in the 2 s after skip_s 1"):
        replayed(tmp_path, [0, 9], duration_s=2, skip_s=1)


def test_too_many_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="has more than 3 requests; cut it"):
        replayed(tmp_path, [0, 1, 2, 3], max_requests=3)


def test_a_trace_of_weeks_is_not_replayed_by_accident(tmp_path: Path) -> None:
    moments = [0, 50_000, 100_000]
    with pytest.raises(BenchmarkError, match="takes more than 86400 s at speed_up 1"):
        replayed(tmp_path, moments)
    assert len(replayed(tmp_path, moments, duration_s=86_400).requests) == 2
    assert len(replayed(tmp_path, moments, speed_up=10).requests) == 3
