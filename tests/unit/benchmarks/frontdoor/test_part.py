"""A part of the benchmark keeps what it has, whatever becomes of it and of those after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.frontdoor import part
from benchmarks.frontdoor.part import Part
from benchmarks.frontdoor.text import as_text


def hit(num_us: int) -> dict[str, Any]:
    times = {"p50": num_us / 1e3, "p99": num_us / 1e3}
    return {
        "store": "redis",
        "hit": "exact",
        "num_callers": 1,
        "kind": "stream",
        "answer_ms": times,
        "whole_ms": times,
        "requests_per_s": 9.0,
        "num_failed": 0,
        "raw": {"answer_us": [num_us]},
    }


def fail() -> None:
    raise BenchmarkError("nothing was answered")


def read(one: Part) -> dict[str, Any]:
    assert one.folder is not None
    found: dict[str, Any] = json.loads((one.folder / "summary.json").read_text())
    return found


def test_each_part_has_a_folder_of_its_own_as_soon_as_it_ends(tmp_path: Path) -> None:
    hits, limits = Part("hits", {"seed": 1}, tmp_path), Part("limits", {"seed": 1}, tmp_path)
    with hits.measuring():
        hits.add(hit(2000))
    assert [row["num"] for row in read(hits)["hits"]] == [1]
    with pytest.raises(KeyboardInterrupt), limits.measuring():
        raise KeyboardInterrupt
    assert limits.folder is None  # it has nothing to keep
    assert [path.name.split("-", 3)[3] for path in tmp_path.iterdir()] == ["frontdoor-hits"]


def test_what_was_measured_before_a_failure_is_kept_and_the_failure_told(tmp_path: Path) -> None:
    one = Part("hits", {}, tmp_path)
    with one.measuring():
        one.add(hit(2000))
        fail()
    (line,) = read(one)["did_not_start"]
    assert line == "hits ended early: nothing was answered"
    assert len((one.folder or tmp_path).joinpath("records.jsonl").read_text().splitlines()) == 1


def test_an_interrupted_part_is_kept_and_the_interruption_goes_on(tmp_path: Path) -> None:
    one = Part("hits", {}, tmp_path)
    one.add(hit(2000))
    with pytest.raises(KeyboardInterrupt), one.measuring():
        raise KeyboardInterrupt
    assert len(read(one)["hits"]) == 1


def test_saved_again_it_is_the_same_folder(tmp_path: Path) -> None:
    one = Part("limits", {}, tmp_path)
    one.add({"limit": "requests"})
    one.save()
    first, one.replicas = one.folder, {"requests_by_replica": {}, "num_decided_without_redis": 0}
    one.save()
    assert one.folder == first
    assert read(one)["replicas"]["num_decided_without_redis"] == 0


def test_nothing_is_written_where_nothing_shall_be() -> None:
    one = Part("hits", {}, None)
    one.add(hit(2000))
    one.save()
    assert one.folder is None


def test_all_parts_make_one_text_and_tell_a_failure_once() -> None:
    hits, limits, shares = (Part(name, {}, None) for name in ("hits", "limits", "shares"))
    hits.add(hit(2000))
    limits.absent.append("limits and shares: no Redis")
    shares.absent.append("limits and shares: no Redis")
    told = part.summary([hits, limits, shares])
    assert told["did_not_start"] == ["limits and shares: no Redis"]
    assert "cache hits" in as_text(told)
