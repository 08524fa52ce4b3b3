from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare.comparison import Comparison, Pair
from benchmarks.compare.decide import Levels, Verdict
from benchmarks.compare.figures import RunFigures
from benchmarks.compare.measure import PairSettings, measure
from benchmarks.compare.plan import SideName
from benchmarks.errors import BenchmarkError
from configs.workload import Workload

Runner = Callable[[SideName, Workload, Path], RunFigures]


class Servers:
    """Two servers whose ttft is 20 ms, plus what B takes longer, plus noise that drifts."""

    def __init__(self, extra_ms: float = 0.0, *, error_rate_b: float = 0.0) -> None:
        self.runs: list[tuple[SideName, int, str]] = []
        self._rng = np.random.default_rng(11)
        self._extra_ms = extra_ms
        self._error_rate_b = error_rate_b

    def __call__(self, side: SideName, workload: Workload, folder: Path) -> RunFigures:
        self.runs.append((side, workload.seed, folder.name))
        drift = 1 + 0.02 * len(self.runs)
        ttft = (20.0 + (self._extra_ms if side == "b" else 0.0)) * drift * math.exp(self._rng.normal(0, 0.03))
        error_rate = self._error_rate_b * (1 + self._rng.random()) if side == "b" else 0.0
        return RunFigures(
            {
                "ttft_p50": ttft,
                "ttft_p95": ttft * 1.5,
                "itl_p50": None,
                "completed_rate": 10.0 * math.exp(self._rng.normal(0, 0.01)),
                "error_rate": error_rate,
            }
        )


def compared(run_side: Runner, folder: Path, settings: PairSettings | None = None) -> Comparison:
    return measure(Workload(), ("old", "new"), run_side, folder, settings, sleep=lambda _: None)


def verdicts(comparison: Comparison) -> dict[str, Verdict]:
    return {judged.figure.name: judged.verdict for judged in comparison.judged}


def test_runs_are_interleaved_and_pairs_share_their_schedule(tmp_path: Path) -> None:
    servers = Servers()
    compared(servers, tmp_path)
    assert len(servers.runs) == 2 * 13  # a warm-up pair, and twelve
    assert {name for _, _, name in servers.runs[:2]} == {"warm-up-a", "warm-up-b"}
    for (first, seed, _), (second, same_seed, _) in zip(servers.runs[0::2], servers.runs[1::2], strict=True):
        assert {first, second} == {"a", "b"}
        assert seed == same_seed


def test_the_same_server_twice_shows_no_regression(tmp_path: Path) -> None:
    comparison = compared(Servers(), tmp_path)
    assert comparison.exit_code == 0
    found = verdicts(comparison)
    assert found["ttft_p50"] is Verdict.NOT_SHOWN
    assert found["itl_p50"] is Verdict.NOT_MEASURED


def test_five_milliseconds_more_are_a_regression(tmp_path: Path) -> None:
    comparison = compared(Servers(5.0), tmp_path)
    assert comparison.primary.name == "ttft_p50"
    assert comparison.primary_judged.verdict is Verdict.WORSE
    assert comparison.exit_code == 1


def test_getting_better_is_no_regression(tmp_path: Path) -> None:
    comparison = compared(Servers(-5.0), tmp_path)
    assert comparison.primary_judged.verdict is Verdict.BETTER
    assert comparison.exit_code == 0


def test_errors_fail_a_build_that_is_as_fast_as_before(tmp_path: Path) -> None:
    comparison = compared(Servers(error_rate_b=0.02), tmp_path)
    assert verdicts(comparison)["error_rate"] is Verdict.WORSE
    assert comparison.exit_code == 1


def test_a_server_that_always_fails_is_worse(tmp_path: Path) -> None:
    good = Servers()

    def run_side(side: SideName, workload: Workload, folder: Path) -> RunFigures:
        if side == "a":
            return good(side, workload, folder)
        return RunFigures({"ttft_p50": math.inf, "completed_rate": 0.0, "error_rate": 1.0})

    comparison = compared(run_side, tmp_path)
    found = verdicts(comparison)
    assert (found["ttft_p50"], found["completed_rate"], found["error_rate"]) == (Verdict.WORSE,) * 3
    document = json.loads((tmp_path / "compare.json").read_text())
    assert document["figures"]["ttft_p50"]["difference"] is None
    assert document["exit_code"] == 1


def test_pairs_that_the_client_spoilt_are_measured_again(tmp_path: Path) -> None:
    servers = Servers()

    def run_side(side: SideName, workload: Workload, folder: Path) -> RunFigures:
        figures = servers(side, workload, folder)
        is_spoilt = folder.name in ("pair-02-a", "pair-05-b")
        return RunFigures(figures.values, problems=("dispatch delay",) if is_spoilt else ())

    comparison = compared(run_side, tmp_path)
    assert len(comparison.pairs) == 12
    assert comparison.excluded == ("pair 2: A: dispatch delay", "pair 5: B: dispatch delay")
    assert comparison.exit_code == 0


def test_a_client_that_is_never_up_to_it_measures_nothing(tmp_path: Path) -> None:
    def run_side(side: SideName, workload: Workload, folder: Path) -> RunFigures:
        return RunFigures({"ttft_p50": 20.0}, problems=("the event loop was late",))

    comparison = compared(run_side, tmp_path)
    assert comparison.exit_code == 2
    assert comparison.shortage is not None
    assert comparison.shortage.startswith("only 0 of 12 pairs count after 18 attempts")


@pytest.mark.parametrize(("extra_ms", "code"), [(5.0, 1), (0.0, 2)])
def test_a_shortage_of_pairs_hides_no_regression_and_clears_nobody(
    tmp_path: Path, extra_ms: float, code: int
) -> None:
    servers = Servers(extra_ms)

    def run_side(side: SideName, workload: Workload, folder: Path) -> RunFigures:
        figures = servers(side, workload, folder)
        is_spoilt = folder.name in {f"pair-{number:02}-a" for number in range(1, 18, 2)}
        return RunFigures(figures.values, problems=("dispatch delay",) if is_spoilt else ())

    comparison = compared(run_side, tmp_path)
    assert len(comparison.pairs) == 9
    assert comparison.shortage is not None
    assert comparison.exit_code == code


@pytest.mark.parametrize("raises", [True, False])
def test_ctrl_c_keeps_whole_pairs_and_decides_nothing(tmp_path: Path, *, raises: bool) -> None:
    servers = Servers(50.0)

    def run_side(side: SideName, workload: Workload, folder: Path) -> RunFigures:
        figures = servers(side, workload, folder)
        if len(servers.runs) < 22:
            return figures
        if raises:
            raise KeyboardInterrupt
        return RunFigures(figures.values, was_interrupted=True)

    comparison = compared(run_side, tmp_path)
    assert len(comparison.pairs) == 9
    assert comparison.exit_code == 2
    document = json.loads((tmp_path / "compare.json").read_text())
    assert document["stopped_because"] == "interrupted after 9 of 12 pairs"
    assert len(document["figures"]["ttft_p50"]["values_b"]) == 9


def test_a_killed_comparison_leaves_its_pairs(tmp_path: Path) -> None:
    servers = Servers()

    def run_side(side: SideName, workload: Workload, folder: Path) -> RunFigures:
        if len(servers.runs) == 8:
            raise BenchmarkError("the workers do not start")
        return servers(side, workload, folder)

    with pytest.raises(BenchmarkError):
        compared(run_side, tmp_path)
    document = json.loads((tmp_path / "compare.json").read_text())
    assert len(document["pairs"]) == 3
    assert document["stopped_because"] == "still running"


def test_too_few_pairs_are_refused_before_the_first_run(tmp_path: Path) -> None:
    servers = Servers()
    with pytest.raises(BenchmarkError, match="7 pairs can never show a difference at alpha"):
        compared(servers, tmp_path, PairSettings(num_pairs=7))
    with pytest.raises(BenchmarkError, match="at least 8 are needed"):
        compared(servers, tmp_path, PairSettings(num_pairs=2))
    with pytest.raises(BenchmarkError, match="no figure is called 'ttft_p42'"):
        compared(servers, tmp_path, PairSettings(primary="ttft_p42"))
    assert not servers.runs


def test_without_a_first_token_the_whole_answer_is_primary(tmp_path: Path) -> None:
    def run_side(side: SideName, workload: Workload, folder: Path) -> RunFigures:
        return RunFigures({"ttft_p50": None, "e2e_p50": 5.0 + workload.seed % 7, "error_rate": 0.0})

    assert compared(run_side, tmp_path).primary.name == "e2e_p50"


def test_a_primary_that_the_workload_lacks_is_not_measured(tmp_path: Path) -> None:
    comparison = compared(Servers(), tmp_path, PairSettings(primary="itl_p50"))
    assert comparison.exit_code == 2


def test_a_cache_of_repeated_schedules_shows_as_an_effect_of_position(tmp_path: Path) -> None:
    seen: set[int] = set()
    rng = np.random.default_rng(3)

    def run_side(side: SideName, workload: Workload, folder: Path) -> RunFigures:
        is_repeated = workload.seed in seen
        seen.add(workload.seed)
        return RunFigures({"ttft_p50": (10.0 if is_repeated else 20.0) * math.exp(rng.normal(0, 0.02))})

    comparison = compared(run_side, tmp_path)
    assert comparison.position is not None
    assert comparison.position.difference == pytest.approx(-0.5, abs=0.05)
    assert comparison.position.p_value < 0.01
    assert comparison.exit_code == 0
    assert comparison.notes[0].startswith("ttft p50 of the second run of a pair differs by -")


def test_each_pair_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def on_pair(pair: Pair, num_counting: int) -> None:
        told.append((pair.planned.index, num_counting))

    measure(
        Workload(),
        ("old", "new"),
        Servers(),
        tmp_path,
        PairSettings(num_pairs=8, levels=Levels()),
        sleep=lambda _: None,
        on_pair=on_pair,
    )
    assert told == [(number, number) for number in range(1, 9)]
