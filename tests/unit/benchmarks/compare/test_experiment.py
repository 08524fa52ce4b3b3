from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare.binomial import share_interval
from benchmarks.compare.comparison import Comparison, Pair
from benchmarks.compare.conclude import compare_pairs
from benchmarks.compare.decide import Levels
from benchmarks.compare.experiment import Kind, run_experiment, summarised
from benchmarks.compare.figures import RunFigures
from benchmarks.compare.plan import plan_pairs


def compare(kind: Kind, seed: int, *, stopped_because: str | None = None) -> Comparison:
    """Two made-up servers; the slower one takes a quarter longer."""
    rng = np.random.default_rng(seed)
    factor = 1.25 if kind == "slower" else 1.0
    pairs = [
        Pair(
            planned,
            RunFigures({"ttft_p50": 20 * np.exp(rng.normal(0, 0.02))}),
            RunFigures({"ttft_p50": factor * 20 * np.exp(rng.normal(0, 0.02))}),
        )
        for planned in islice(plan_pairs(seed), 1, 13)
    ]
    return compare_pairs(pairs, ("same", kind), Levels(), rng, stopped_because=stopped_because)


def test_kinds_take_turns_and_each_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    written: list[int] = []

    def counting(kind: Kind, seed: int) -> Comparison:
        written.append(len(path.read_text().splitlines()))
        return compare(kind, seed)

    records = run_experiment(counting, 3, 1, path)
    assert [record["kind"] for record in records] == ["same", "slower"] * 3
    assert written == [0, 1, 2, 3, 4, 5]
    assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == [0, 1, 2, 3, 4, 5]


def test_alarms_and_finds_are_counted(tmp_path: Path) -> None:
    summary = summarised(run_experiment(compare, 20, 1, tmp_path / "records.jsonl"))
    assert summary["same"]["num"] == 20
    assert summary["same"]["alarms_any_figure_either_way"]["num"] <= 1
    assert summary["slower"]["found_primary"]["share"] == 1.0
    assert summary["slower"]["median_difference"] == pytest.approx(0.25, abs=0.02)


def test_what_was_not_measured_is_not_found(tmp_path: Path) -> None:
    def broken(kind: Kind, seed: int) -> Comparison:
        return compare_pairs([], ("same", kind), Levels(), np.random.default_rng(1))

    summary = summarised(run_experiment(broken, 2, 1, tmp_path / "records.jsonl"))
    assert summary["same"]["num_not_measured"] == 2
    assert summary["slower"]["found_exit_code_1"]["num"] == 0
    assert summary["median_detectable"] is None


@pytest.mark.parametrize("raises", [True, False])
def test_ctrl_c_keeps_complete_comparisons(tmp_path: Path, *, raises: bool) -> None:
    calls: list[Kind] = []

    def interrupted(kind: Kind, seed: int) -> Comparison:
        calls.append(kind)
        if len(calls) < 4:
            return compare(kind, seed)
        if raises:
            raise KeyboardInterrupt
        return compare(kind, seed, stopped_because="interrupted after 2 of 12 pairs")

    records = run_experiment(interrupted, 30, 1, tmp_path / "records.jsonl")
    assert len(records) == 3
    assert summarised(records)["slower"]["num"] == 1


def test_an_experiment_without_comparisons_has_no_shares() -> None:
    assert summarised([])["same"]["alarms_primary"] is None


def test_exact_intervals_of_shares() -> None:
    # By the closed forms of the extremes: 1 - (a/2)^(1/n), and of Clopper and Pearson's own tables.
    assert share_interval(0, 30, 0.95) == pytest.approx((0.0, 1 - 0.025 ** (1 / 30)))
    assert share_interval(30, 30, 0.95) == pytest.approx((0.025 ** (1 / 30), 1.0))
    assert share_interval(2, 10, 0.95) == pytest.approx((0.0252, 0.5561), abs=1e-4)
