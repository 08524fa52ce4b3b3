"""`python -m benchmarks stall`: what load testers report of a server that stands still for a while.

Each tool in turn sends streaming chat requests at a constant rate to a fresh reference server, which is stopped
(SIGSTOP) in the middle and goes on. The truth comes from the server's log (`truth`). A tool whose requests wait
for those before, or that counts from when it got round to sending, reports a better server than there was.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import results_folder
from benchmarks.errors import BenchmarkError
from benchmarks.peers.base import Load, LoadTester
from benchmarks.peers.choose import Tools, add_options, choose
from benchmarks.peers.measure import Bench, Measured, PlannedStall, measure
from benchmarks.peers.records import record_of, requests_of
from benchmarks.peers.truth import percentile
from benchmarks.statistics.samples import known_median
from benchmarks.tables import absences, number, table

BAR = 0.05  # what we ask of ours: the reported p95 is the truth within this share
_PATIENCE_S = 120.0  # beyond the load's duration and its stall: start, drain and files


def main() -> None:
    """Run the experiment, print its table, keep its results."""
    arguments = _arguments()
    load_average = os.getloadavg()
    try:
        with tempfile.TemporaryDirectory(prefix="stall-") as scratch:
            tools, runs = _experiment(arguments, Path(scratch))
            summary = summarise(runs, tools)
            records = [record_of(run) | {"repetition": n, "requests": requests_of(run)} for n, run in runs]
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    folder = results_folder.write(
        arguments.out, "stall", _settings(arguments, tools, load_average), summary, records
    )
    print(f"\n{as_table(summary)}\n\nraw records: {folder}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second (%(default)s)")
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of load (%(default)s)")
    parser.add_argument("--stall-at", type=float, default=8.0, help="seconds after the first request")
    parser.add_argument("--stall-for", type=float, default=3.0, help="seconds (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="of each tool, in turn (%(default)s)")
    parser.add_argument("--workers", type=int, help="of ours; as many as it takes by itself by default")
    parser.add_argument(
        "--aiperf-concurrency",
        type=int,
        help="cap of the second way of using aiperf; twice what the load needs by default",
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="for the folder")
    arguments = parser.parse_args()
    if not 0 < arguments.stall_at < arguments.duration or arguments.rate <= 0 or arguments.repetitions < 1:
        parser.error("the stall must begin within the load; rate and repetitions must be above 0")
    return arguments


def _experiment(arguments: argparse.Namespace, scratch: Path) -> tuple[Tools, list[tuple[int, Measured]]]:
    """Every tool once, then every tool again: a change of the machine meets all."""
    bench = Bench()
    load = Load(arguments.rate, round(arguments.rate * arguments.duration))
    cap = arguments.aiperf_concurrency or needed_concurrency(load, bench) * 2
    tools = choose(arguments, bench, scratch, [arguments.workers], cap)
    planned = PlannedStall(arguments.stall_at, arguments.stall_for)
    runs = []
    for repetition in range(arguments.repetitions):
        for place, tool in enumerate(tools.present):
            run = _run(tool, load, bench, scratch / f"{repetition}-{place}", planned)
            runs.append((repetition, run))
            print(_progress(repetition, run), flush=True)
    return tools, runs


def needed_concurrency(load: Load, bench: Bench) -> int:
    """Requests in flight at this rate while nothing is wrong (Little's law)."""
    answer_s = (bench.ttft_ms + (load.num_output_tokens - 1) * bench.tpot_ms) / 1e3
    return max(1, math.ceil(load.rate_rps * answer_s))


def _run(tool: LoadTester, load: Load, bench: Bench, folder: Path, planned: PlannedStall) -> Measured:
    # A tool with a cap begins later what it could not begin in the stall, and so ends later.
    timeout_s = 2 * load.duration_s + planned.for_s + _PATIENCE_S
    return measure(tool, load, bench, folder, timeout_s, planned)


def _progress(repetition: int, run: Measured) -> str:
    figures = _figures(run)
    said, true = number(figures["reported_p95_ms"]), number(figures["truth_p95_ms"])
    what = run.failure or f"reports p95 {said} ms, as served {true} ms"
    return f"{repetition + 1}: {run.tool}: {what} ({run.wall_s:.0f} s)"


def _figures(run: Measured) -> dict[str, Any]:
    reported, truth = run.reported, run.truth
    said = None if reported is None else reported.ttft_p95_ms
    true = None if truth is None else percentile(truth.wait_ms, 95)
    return {
        "reported_p50_ms": None if reported is None else reported.ttft_p50_ms,
        "reported_p95_ms": said,
        "reported_p99_ms": None if reported is None else reported.ttft_p99_ms,
        "truth_p50_ms": None if truth is None else percentile(truth.wait_ms, 50),
        "truth_p95_ms": true,
        "truth_p99_ms": None if truth is None else percentile(truth.wait_ms, 99),
        "open_loop_p95_ms": None if truth is None else percentile(truth.open_loop_ms, 95),
        "ratio_p95": None if said is None or not true else said / true,
        "num_due": run.load.num_requests,
        "num_arrived": None if truth is None else truth.num_arrived,
    }


def summarise(runs: Sequence[tuple[int, Measured]], tools: Tools) -> dict[str, Any]:
    """Each tool's figures, the median of its repetitions; a ratio is made in each run before."""
    found: dict[str, Any] = {}
    for tool in tools.present:
        own = [run for _, run in runs if run.tool == tool.name]
        each = [_figures(run) for run in own if run.failure is None]
        found[tool.name] = {
            "version": tool.version,
            "num_runs": len(own),
            "failures": [run.failure for run in own if run.failure is not None],
            "further": [dict(run.reported.further) for run in own if run.reported is not None],
            "ratios_p95": [figures["ratio_p95"] for figures in each],
            **{name: known_median([figures[name] for figures in each]) for name in _figures(own[0])},
        }
    (ours,) = [found[tool.name] for tool in tools.present if tool.name.startswith("manta")]
    is_met = len(ours["ratios_p95"]) == ours["num_runs"] and all(
        ratio is not None and abs(ratio - 1) <= BAR for ratio in ours["ratios_p95"]
    )
    bar = {
        "what": "our reported ttft p95 is the truth as served within 5 % in every repetition",
        "is_met": is_met,
    }
    return {"bar": bar, "tools": found, "absent": dict(tools.absent)}


def as_table(summary: dict[str, Any]) -> str:
    headings = (
        *("tool", "version", "reported ttft p50 / p95 / p99, ms", "truth as served p50 / p95 / p99, ms"),
        *("reported p95 / truth (each run)", "open-loop truth p95, ms", "arrived / due"),
    )
    rows = [_row(name, of_tool) for name, of_tool in summary["tools"].items() if of_tool["ratios_p95"]]
    absent = dict(summary["absent"])
    absent |= {
        name: of_tool["failures"][0] for name, of_tool in summary["tools"].items() if of_tool["failures"]
    }
    bar = summary["bar"]
    is_met = "met" if bar["is_met"] else "NOT met"
    return f"{table(headings, rows)}{absences(absent)}\n\n{bar['what']}: {is_met}"


def _row(name: str, of_tool: dict[str, Any]) -> tuple[str, ...]:
    def three(kind: str) -> str:
        return " / ".join(number(of_tool[f"{kind}_{p}_ms"]) for p in ("p50", "p95", "p99"))

    return (
        name,
        of_tool["version"],
        three("reported"),
        three("truth"),
        f"{number(of_tool['ratio_p95'], '.3f')} ({', '.join(number(r, '.3f') for r in of_tool['ratios_p95'])})",
        number(of_tool["open_loop_p95_ms"]),
        f"{number(of_tool['num_arrived'])} / {number(of_tool['num_due'])}",
    )


def _settings(arguments: argparse.Namespace, tools: Tools, load_average: tuple[float, ...]) -> dict[str, Any]:
    said = {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)}
    return {
        **said,
        "load_average_before": load_average,
        "server": {"ttft_ms": Bench().ttft_ms, "tpot_ms": Bench().tpot_ms},
    } | {"tools": {tool.name: tool.version for tool in tools.present}}
