from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.compare.decide import Levels, Verdict
from benchmarks.compare.folders import compare_folders, runs_in
from benchmarks.errors import BenchmarkError
from benchmarks.run.execute import Run
from configs.workload import PoissonArrivals, Workload

MakeRun = Callable[..., Run]
ASKED = Workload(warm_up_s=0.0, arrivals=PoissonArrivals(process="poisson", rate_rps=10))


@pytest.fixture
def kept(tmp_path: Path, made_run: MakeRun) -> Callable[..., Path]:
    """`kept(name, ttft_ms, seed)`: a folder with a run of 60 requests around this ttft."""

    def keep(name: str, ttft_ms: float, seed: int = 1, *, workload: Workload = ASKED) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        noise = np.random.default_rng(seed).normal(0, 0.3, 60)
        run = made_run(
            [ttft_ms + value for value in noise],
            workload=workload.model_copy(update={"seed": seed}),
            folder=folder,
        )
        encoder = msgspec.json.Encoder()
        (folder / "run.json").write_bytes(encoder.encode(run.settings))
        (folder / "records.jsonl").write_bytes(encoder.encode_lines(run.records))
        (folder / "client.jsonl").write_bytes(encoder.encode_lines(run.samples))
        return folder

    return keep


def test_five_runs_a_side_can_show_a_difference(kept: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(5):
        kept(f"old/{number}", 20.0, seed=number)
        kept(f"new/{number}", 25.0, seed=10 + number)
    comparison = compare_folders([tmp_path / "old"], [tmp_path / "new"], Levels())
    assert not comparison.is_paired
    assert comparison.primary_judged.verdict is Verdict.WORSE
    assert comparison.primary_judged.difference == pytest.approx(0.25, abs=0.02)
    assert comparison.exit_code == 1
    assert "not made in interleaved pairs" in comparison.notes[0]


def test_one_run_a_side_shows_nothing_and_says_how_many_would(kept: Callable[..., Path]) -> None:
    comparison = compare_folders([kept("old", 20.0)], [kept("new", 40.0, seed=2)], Levels())
    assert comparison.exit_code == 2
    assert comparison.primary_judged.verdict is Verdict.NOT_MEASURED
    assert "1 and 1 runs can never show a difference at alpha 0.01: 5 a side can" in comparison.notes


def test_several_folders_make_one_side(kept: Callable[..., Path]) -> None:
    a = [kept(f"a{number}", 20.0, seed=number) for number in range(5)]
    b = [kept(f"b{number}", 20.0, seed=20 + number) for number in range(5)]
    comparison = compare_folders(a, b, Levels())
    assert (len(comparison.runs_a), len(comparison.runs_b)) == (5, 5)
    assert comparison.name_a == "a0 and 4 more"
    assert comparison.exit_code == 0


def test_runs_of_different_workloads_are_not_compared(kept: Callable[..., Path]) -> None:
    faster = ASKED.model_copy(update={"arrivals": PoissonArrivals(process="poisson", rate_rps=20)})
    with pytest.raises(BenchmarkError, match="arrivals differ"):
        compare_folders([kept("old", 20.0)], [kept("new", 20.0, workload=faster)], Levels())


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="holds no run"):
        runs_in(tmp_path)


def test_a_comparisons_own_folder_is_not_one_side(kept: Callable[..., Path], tmp_path: Path) -> None:
    kept("both/pair-01-a", 20.0)
    (tmp_path / "both" / "compare.json").write_text("{}")
    with pytest.raises(BenchmarkError, match="both sides"):
        runs_in(tmp_path / "both")
    assert runs_in(tmp_path / "both" / "pair-01-a") == [tmp_path / "both" / "pair-01-a"]
