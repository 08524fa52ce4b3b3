from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.sweep.measure import RunRate, SweepSettings, measure, workload_at
from benchmarks.sweep.points import Point
from benchmarks.sweep.result import Sweep
from benchmarks.sweep.search import SearchSettings
from configs.workload import ClosedLoop, GammaArrivals, Workload

SEARCH = SearchSettings(start_rps=5, precision=0.1, has_objectives=True)


def swept(run_rate: RunRate, folder: Path, settings: SweepSettings, seed: int = 1) -> Sweep:
    return measure(Workload(seed=seed), run_rate, folder, settings, sleep=lambda _: None)


@pytest.mark.parametrize("seed", range(4))
def test_the_limits_of_a_simulated_server_are_found(
    tmp_path: Path, queue_server: Callable[..., Any], seed: int
) -> None:
    # Ten places of 0.1 s: 100 requests/s. Alone a request takes 0.1 s in the mean, and 95 % take less than
    # 0.3 s; with 0.36 s as objective queueing decides, at 90 requests/s or so.
    server = queue_server(10, 0.1, 0.36)
    sweep = swept(server, tmp_path, SweepSettings(SEARCH, duration_s=60), seed)
    assert sweep.stop.is_complete
    assert sweep.capacity.low_rps is not None
    assert 88 <= sweep.capacity.low_rps <= 112
    assert sweep.objectives is not None
    assert sweep.objectives.low_rps is not None
    assert 65 <= sweep.objectives.low_rps <= 100
    assert sweep.max_goodput is not None


def test_a_noisy_neighbour_does_not_hide_the_capacity(
    tmp_path: Path, queue_server: Callable[..., Any]
) -> None:
    found = []
    for seed in range(10):
        server = queue_server(10, 0.1, 0.36, bad_runs=0.1)
        sweep = swept(server, tmp_path / str(seed), SweepSettings(SEARCH, duration_s=60), seed)
        found.append(sweep.capacity.low_rps or 0.0)
    assert sum(85 <= rate <= 115 for rate in found) >= 8


def test_every_run_has_a_seed_and_a_folder_of_its_own(
    tmp_path: Path, queue_server: Callable[..., Any]
) -> None:
    server = queue_server(4, 0.1, 0.5)
    seeds: list[int] = []
    folders: list[str] = []

    def run_rate(workload: Workload, folder: Path) -> Point:
        seeds.append(workload.seed)
        folders.append(folder.name)
        point: Point = server(workload, folder)
        return point

    swept(run_rate, tmp_path, SweepSettings(SEARCH))
    assert len(set(seeds)) == len(seeds)
    assert len(set(folders)) == len(folders)
    assert folders[0] == "point-01-5rps"


def test_slow_rates_run_longer_for_enough_requests() -> None:
    settings = SweepSettings(duration_s=30, min_requests=100)
    assert workload_at(10, 0, Workload(), settings).duration_s == 30
    assert workload_at(2, 0, Workload(), settings).duration_s == 50
    assert workload_at(0.1, 0, Workload(), settings).duration_s == 120


def test_the_shape_of_arrivals_is_kept() -> None:
    bursty = Workload(arrivals=GammaArrivals(process="gamma", rate_rps=1, burstiness=0.25))
    asked = workload_at(7, 3, bursty, SweepSettings())
    assert asked.arrivals == GammaArrivals(process="gamma", rate_rps=7, burstiness=0.25)


def test_arrivals_without_one_rate_are_refused(tmp_path: Path) -> None:
    closed = Workload(arrivals=ClosedLoop(process="closed", concurrency=4))
    with pytest.raises(BenchmarkError, match="not closed"):
        measure(closed, lambda workload, folder: pytest.fail("ran"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_server_rests_longer_after_it_fell_behind(
    tmp_path: Path, queue_server: Callable[..., Any]
) -> None:
    pauses: list[float] = []
    settings = SweepSettings(rates_rps=(10, 20, 200), pause_s=1, recovery_s=9)
    sweep = measure(Workload(), queue_server(4, 0.1, 0.5), tmp_path, settings, sleep=pauses.append)
    assert pauses == [1, 1]
    assert "fell behind at 200" in sweep.stop.reason or sweep.stop.is_complete
    pauses.clear()
    searching = SweepSettings(SearchSettings(start_rps=200, precision=0.5), pause_s=1, recovery_s=9)
    measure(Workload(), queue_server(4, 0.1, 0.5), tmp_path, searching, sleep=pauses.append)
    assert pauses[0] == 9


@pytest.mark.parametrize("raises", [True, False])
def test_ctrl_c_keeps_what_was_measured(
    tmp_path: Path, queue_server: Callable[..., Any], *, raises: bool
) -> None:
    server = queue_server(10, 0.1, 0.36)

    def run_rate(workload: Workload, folder: Path) -> Point:
        point: Point = server(workload, folder)
        if len(server.rates) < 4:
            return point
        if raises:
            raise KeyboardInterrupt
        return Point(point.rate_rps, 3, 0, is_saturated=None, was_interrupted=True)

    sweep = swept(run_rate, tmp_path, SweepSettings(SEARCH))
    assert sweep.stop.reason == "interrupted"
    assert sweep.capacity.low_rps == 20
    document = json.loads((tmp_path / "sweep.json").read_text())
    assert document["stopped_because"] == "interrupted"
    assert document["capacity_rps"] == 20
    assert document["capacity_below_rps"] is None
    assert len(document["points"]) == (3 if raises else 4)


def test_a_killed_sweep_leaves_its_points(tmp_path: Path, queue_server: Callable[..., Any]) -> None:
    server = queue_server(10, 0.1, 0.36)

    def run_rate(workload: Workload, folder: Path) -> Point:
        if len(server.rates) == 2:
            raise BenchmarkError("the workers do not start")
        point: Point = server(workload, folder)
        return point

    with pytest.raises(BenchmarkError):
        swept(run_rate, tmp_path, SweepSettings(SEARCH))
    document = json.loads((tmp_path / "sweep.json").read_text())
    assert [point["rate_rps"] for point in document["points"]] == [5, 10]


def test_without_objectives_only_the_capacity_is_told(tmp_path: Path) -> None:
    def run_rate(workload: Workload, folder: Path) -> Point:
        rate = workload_rate(workload)
        return Point(rate, num_requests=100, num_errors=0, is_saturated=rate > 12)

    sweep = swept(run_rate, tmp_path, SweepSettings(SearchSettings()))
    assert sweep.objectives is None
    assert sweep.max_goodput is None
    document = json.loads((tmp_path / "sweep.json").read_text())
    assert document["attained_rps"] is None
    assert 11.4 < document["capacity_rps"] <= 12


def workload_rate(workload: Workload) -> float:
    rate: float = workload.arrivals.rate_rps  # type: ignore[union-attr]
    return rate
