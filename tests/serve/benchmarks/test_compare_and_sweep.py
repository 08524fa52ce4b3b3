"""Comparisons and sweeps of real servers, as short as they can be: what they leave behind, not how fast it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.compare.decide import Levels, Verdict
from benchmarks.compare.figures import RunFigures
from benchmarks.compare.measure import PairSettings, measure
from benchmarks.compare.of_run import figures_of
from benchmarks.compare.plan import SideName
from benchmarks.compare.sides import Before
from benchmarks.errors import BenchmarkError
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.reference_server.process import running
from benchmarks.run.execute import Prepared, RunOptions, execute
from benchmarks.target import Target
from configs.load import parse_workload
from configs.workload import Workload
from manta.commands.bench.compare import command as compare
from manta.commands.bench.sweep import command as sweep

ASKED = ["--output-tokens", "4", "--prompt-tokens", "8", "--workers", "1"]


def only(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    (path,) = folder.glob(f"*/{name}")
    return path.parent, json.loads(path.read_text())


def test_both_sides_of_every_pair_get_the_same_schedule(tmp_path: Path) -> None:
    with running() as old, running(extra_ttft_ms=30) as new:
        words = [old.url, new.url, "--alpha", "0.5", "--pairs", "2", "--duration", "1", "--pause", "0"]
        done = CliRunner().invoke(compare, [*words, "--rate", "20", "--out", str(tmp_path), *ASKED])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    folder, document = only(tmp_path, "compare.json")
    # On a starved machine the client certifies that a run says nothing, and its pair does not count.
    assert document["pairs"] or document["excluded"]
    if document["pairs"]:
        assert document["figures"]["ttft_p50"]["b"] > document["figures"]["ttft_p50"]["a"]
    digests = {
        path.parent.name: json.loads(path.read_text())["schedule"]["digest"]
        for path in folder.glob("*/run.json")
    }
    pairs = sorted(name.removesuffix("-a") for name in digests if name.endswith("-a"))
    assert len(pairs) >= 3  # with the warm-up
    for pair in pairs:
        assert digests[f"{pair}-a"] == digests[f"{pair}-b"]
    assert len(set(digests.values())) == len(pairs)
    assert "ttft p50" in (folder / "report.html").read_text()
    assert "ttft p50" in done.output


def test_a_server_that_fails_every_request_is_worse(tmp_path: Path) -> None:
    asked = parse_workload(
        {
            "arrivals": {"process": "constant", "rate_rps": 20},
            "requests": [{"kind": "chat", "prompt_tokens": 8, "output_tokens": 4}],
        }
    )
    with running(ttft_ms=300) as server:  # so slow that no client is late by what would spoil a pair
        prompts = prepare_prompts(1, [])
        sides = {"a": Target(server.url, "reference"), "b": Target(server.url, "error-500")}

        def run_side(side: SideName, workload: Workload, folder: Path) -> RunFigures:
            prepared = Prepared(sides[side], prompts)
            return figures_of(execute(workload, prepared, folder, RunOptions(num_workers=1)))

        settings = PairSettings(num_pairs=3, duration_s=1.0, pause_s=0.0, levels=Levels(alpha=0.5))
        comparison = measure(asked, ("good", "bad"), run_side, tmp_path / "out", settings)
    assert comparison.exit_code == 1
    assert comparison.primary_judged.verdict is Verdict.WORSE
    assert {run.values["error_rate"] for run in comparison.runs_b} == {1.0}


def test_a_sweep_over_a_list_leaves_a_run_and_a_report_each(tmp_path: Path) -> None:
    with running() as server:
        words = [
            "--url",
            server.url,
            "--rates",
            "20,10",
            "--duration",
            "1",
            "--pause",
            "0",
            "--ttft-ms",
            "500",
        ]
        done = CliRunner().invoke(sweep, [*words, "--out", str(tmp_path), *ASKED])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    folder, document = only(tmp_path, "sweep.json")
    # Lowest first; a starved machine is told from a saturated server by nothing, and ends the sweep there.
    rates = [point["rate_rps"] for point in document["points"]]
    assert rates == [10, 20][: len(rates)]
    assert (document["cause"] == "complete") == (rates == [10, 20])
    for point in document["points"]:
        assert (folder / point["folder"] / "records.jsonl").is_file()
        assert (folder / point["folder"] / "report.html").is_file()
    assert (folder / "report.html").is_file()


def test_a_sweep_finds_what_a_server_with_few_places_cannot_do(tmp_path: Path) -> None:
    # Two places and 50 ms an answer: 40 requests/s.
    with running(max_concurrent=2, ttft_ms=50, tpot_ms=0.01) as server:
        words = [
            "--url",
            server.url,
            "--rates",
            "20,80",
            "--duration",
            "25",  # a run at the higher rate ends as soon as it is told, after ten quiet seconds
            "--min-requests",
            "1",
            "--pause",
            "0",
        ]
        CliRunner().invoke(sweep, [*words, "--out", str(tmp_path), *ASKED])
    _, document = only(tmp_path, "sweep.json")
    assert (document["capacity_rps"], document["capacity_below_rps"]) == (20, 80)
    assert "fell behind at 80" in document["stopped_because"]


def test_a_command_that_fails_says_its_last_words() -> None:
    script = "import sys; print('first'); print('no such image', file=sys.stderr); sys.exit(3)"
    with pytest.raises(BenchmarkError, match="ended with 3: no such image"):
        Before((sys.executable, "-c", script)).run()
    with pytest.raises(BenchmarkError, match="No such file"):
        Before(("/nowhere/at-all",)).run()


def test_a_command_may_leave_something_running_behind() -> None:
    sleeper = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'])"
    )
    Before((sys.executable, "-c", sleeper)).run()
