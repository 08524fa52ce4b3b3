"""What an overload experiment asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.overload.plan import PRIORITY_HEADER, Dials, planned_runs, workload_of
from configs.load import read_profile
from configs.workload import Objectives, PoissonArrivals, Workload

DIALS = Dials(multiples=(0.5, 3.0), mixed_multiples=(2.0,), repetitions=2, duration_s=10.0)
OBJECTIVES = Objectives(ttft_ms=500.0)


def rate_of(workload: Workload) -> float:
    assert isinstance(workload.arrivals, PoissonArrivals)
    return workload.arrivals.rate_rps


def test_every_round_has_every_run_once() -> None:
    runs = list(planned_runs(DIALS))
    assert [(run.repetition, run.kind, run.multiple) for run in runs] == [
        (n, kind, multiple)
        for n in (0, 1)
        for kind, multiple in (("plain", 0.5), ("plain", 3.0), ("mixed", 2.0), ("unmarked", 2.0))
    ]
    assert len({run.name for run in runs}) == len(runs)


def test_rates_are_shares_of_a_multiple_of_the_capacity() -> None:
    rates = {
        (run.kind, part.name): rate_of(workload_of(run, part, 10.0, OBJECTIVES, DIALS))
        for run in planned_runs(DIALS)
        for part in run.parts
        if run.multiple != 0.5
    }
    assert rates == pytest.approx(
        {
            ("plain", "all"): 30.0,
            ("mixed", "interactive"): 14.0,
            ("mixed", "batch"): 6.0,
            ("unmarked", "interactive"): 14.0,
            ("unmarked", "batch"): 6.0,
        }
    )


def test_only_marked_batch_requests_say_so() -> None:
    headers = {(run.kind, part.name): part.headers for run in planned_runs(DIALS) for part in run.parts}
    said = {key for key, value in headers.items() if value}
    assert said == {("mixed", "batch")}
    assert headers["mixed", "batch"] == ((PRIORITY_HEADER, "batch"),)


def test_marked_or_not_the_same_requests_come_at_the_same_moments() -> None:
    runs = {(run.kind, run.repetition): run for run in planned_runs(DIALS) if run.kind != "plain"}
    seeds = {
        (kind, n, part.name): workload_of(run, part, 10.0, OBJECTIVES, DIALS).seed
        for (kind, n), run in runs.items()
        for part in run.parts
    }
    for n in (0, 1):
        for name in ("interactive", "batch"):
            assert seeds["mixed", n, name] == seeds["unmarked", n, name]
    assert len(set(seeds.values())) == 4  # but no others


def test_the_profile_is_one_and_is_as_wide_as_it_says(repository: Path) -> None:
    profile = read_profile(repository / "benchmarks" / "overload" / "profile.yaml")
    model = profile.platform.models[0]
    assert model.engine == "mock"
    assert model.max_concurrent == model.scaling.max_ongoing_requests
