"""Runs of an overload experiment against real servers: what they find, not how fast it was."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.overload.measure import measure, pace_of
from benchmarks.overload.plan import Dials, planned_runs
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.reference_server.process import running
from benchmarks.run.execute import Prepared
from benchmarks.target import Target
from configs.workload import Objectives

DIALS = Dials(multiples=(2.0,), mixed_multiples=(1.0,), duration_s=2.0, timeout_s=20.0, repetitions=1)
OBJECTIVES = Objectives(ttft_ms=20_000.0)


def test_each_part_of_a_run_leaves_its_records(tmp_path: Path) -> None:
    with running(ttft_ms=5, tpot_ms=0) as server:
        prepared = Prepared(Target(server.url, "reference"), prepare_prompts(1, []))
        pace = pace_of(prepared, 4, 0.5, 20.0)
        assert pace.capacity_rps > 0
        runs = [measure(run, prepared, 10.0, OBJECTIVES, DIALS, tmp_path) for run in planned_runs(DIALS)]
    plain, mixed, _ = runs
    assert set(plain.parts) == {"all"}
    assert set(mixed.parts) == {"interactive", "batch"}
    for run in runs:
        for figures in run.parts.values():
            assert figures.num_requests > 0
            assert figures.goodput_rps == figures.offered_rps
            assert (figures.refused_share, figures.failed_share) == (0.0, 0.0)
        assert set(run.retry_after["statuses"]) == {"200"}
    headers = json.loads((tmp_path / mixed.planned.name / "batch" / "run.json").read_text())["target"]
    assert headers["header_names"] == ["x-manta-priority"]
    json.dumps([run.record() for run in runs])


def test_a_server_that_turns_everybody_away(tmp_path: Path) -> None:
    with running() as server:
        prepared = Prepared(Target(server.url, "error-429"), prepare_prompts(1, []))
        run = measure(next(planned_runs(DIALS)), prepared, 10.0, OBJECTIVES, DIALS, tmp_path)
    figures = run.parts["all"]
    assert (figures.refused_share, figures.goodput_rps) == (1.0, 0.0)
    assert figures.refused_after_ms["p50"] > 0
    assert run.retry_after["num"] > 0
    assert run.retry_after["num_without"] == 0
    assert run.retry_after["seconds"]["p50"] >= 1.0
