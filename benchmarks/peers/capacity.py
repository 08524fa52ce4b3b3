"""`python -m benchmarks capacity`: the highest rate of streaming requests that load testers sustain honestly.

Each tool alone is run at one rate after the other against a fresh reference server, and judged by the server's
log and its own report (`judge`), against two bounds of lateness. Server and tool have cores of their own, so
that one does not slow down the other.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results_folder
from benchmarks.errors import BenchmarkError
from benchmarks.peers.base import Load, LoadTester
from benchmarks.peers.choose import Tools, add_options, choose
from benchmarks.peers.cpus import available, parse
from benchmarks.peers.judge import judge, late_p99_ms
from benchmarks.peers.measure import Bench, Measured, measure
from benchmarks.peers.rates import RateRange
from benchmarks.peers.records import record_of, requests_of
from benchmarks.peers.search import BOUNDS_MS, Search
from benchmarks.tables import absences, number, table

_START_S = 30.0  # a tool may take so long to start, beside its load


def main() -> None:
    """Run the experiment, print its tables, keep its results."""
    arguments = _arguments()
    load_average = os.getloadavg()  # figures of a machine with other work on it are that work's
    try:
        bench = _bench(arguments)
        with tempfile.TemporaryDirectory(prefix="capacity-") as scratch:
            tools = choose(arguments, bench, Path(scratch), _workers(arguments))
            searches = [_search(tool, arguments, bench, Path(scratch)) for tool in tools.present]
            summary = summarise(searches, tools)
            records = list(_records(searches))
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    folder = results_folder.write(
        arguments.out, "capacity", _settings(arguments, bench, tools, load_average), summary, records
    )
    print(f"\n{as_tables(summary, bench)}\n\nraw records: {folder}")


def _arguments() -> argparse.Namespace:
    limits = RateRange()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    add = parser.add_argument
    add("--workers", default="1,2", help="worker processes of ours, a tool each (%(default)s)")
    add("--duration", type=float, default=5.0, help="seconds of load of each run (%(default)s)")
    add("--first-rate", type=float, default=limits.first_rps, help="tried first (%(default)s)")
    add("--min-rate", type=float, default=limits.min_rps, help="never below (%(default)s)")
    add("--max-rate", type=float, default=limits.max_rps, help="never above (%(default)s)")
    add("--precision", type=float, default=limits.precision, help="relative (%(default)s)")
    add("--minutes-per-tool", type=float, default=1.8, help="no run begins after (%(default)s)")
    add("--server-cpus", type=parse, help="such as 2,3; the last core by default")
    add("--client-cpus", type=parse, help="such as 0,1; all but the server's by default")
    add("--server-processes", type=int, default=1, help="of the reference server (%(default)s)")
    add("--out", type=Path, default=Path("benchmarks/results"), help="for the folder")
    arguments = parser.parse_args()
    if not 0 < arguments.min_rate <= arguments.first_rate <= arguments.max_rate or arguments.duration < 2:
        parser.error("rates must be in order, and a run at least 2 s")
    return arguments


def _bench(arguments: argparse.Namespace) -> Bench:
    cpus = available()
    server = arguments.server_cpus or cpus[-1:]
    others = tuple(cpu for cpu in cpus if cpu not in server) or cpus
    return Bench(
        num_server_processes=arguments.server_processes,
        server_cpus=server,
        client_cpus=arguments.client_cpus or others,
    )


def _workers(arguments: argparse.Namespace) -> list[int | None]:
    return [*parse(arguments.workers)]


def _search(tool: LoadTester, arguments: argparse.Namespace, bench: Bench, scratch: Path) -> Search:
    limits = RateRange(arguments.first_rate, arguments.min_rate, arguments.max_rate, arguments.precision)
    search = Search(tool, limits)
    end_s = time.perf_counter() + 60 * arguments.minutes_per_tool
    while (rate := search.next_rate()) is not None and time.perf_counter() < end_s:
        load = Load(rate, max(1, round(rate * arguments.duration)))
        folder = scratch / f"{tool.name.replace(' ', '_')}-{len(search.runs)}"
        run = measure(tool, load, bench, folder, _START_S + 3 * load.duration_s)
        search.runs.append(run)
        print(_progress(run), flush=True)
    return search


def _progress(run: Measured) -> str:
    verdicts = []
    for bound_ms in BOUNDS_MS:
        verdict = judge(run, bound_ms)
        said = "honest" if verdict.is_honest else "; ".join(verdict.reasons)
        verdicts.append(f"{bound_ms:g} ms: {said}")
    return f"{run.tool} at {run.load.rate_rps:g}/s ({run.wall_s:.0f} s): {' | '.join(verdicts)}"


def summarise(searches: Iterable[Search], tools: Tools) -> dict[str, Any]:
    """For every tool and bound the highest rate that it sustains, and what ended the search."""
    found = {
        search.tool.name: {
            "version": search.tool.version,
            "limits": {f"{bound_ms:g}": _limit(search, bound_ms) for bound_ms in BOUNDS_MS},
            "points": [_point(run) for run in sorted(search.runs, key=lambda run: run.load.rate_rps)],
        }
        for search in searches
    }
    return {"bounds_ms": BOUNDS_MS, "tools": found, "absent": dict(tools.absent)}


def _limit(search: Search, bound_ms: float) -> dict[str, Any]:
    found = search.bracket(bound_ms)
    failed = [judge(run, bound_ms) for run in search.runs if run.load.rate_rps == found.failed_rps]
    return {
        "highest_rps": found.passed_rps,
        "failed_rps": found.failed_rps,
        "why": list(failed[-1].reasons) if failed else [],
        "is_the_servers": bool(failed) and all(verdict.is_void for verdict in failed),
        "is_complete": search.next_rate_for(bound_ms) is None,
    }


def _point(run: Measured) -> dict[str, Any]:
    late = None if run.truth is None else late_p99_ms(run.truth, run.load.rate_rps)
    further = {} if run.reported is None else run.reported.further
    return {
        "rate_rps": run.load.rate_rps,
        "arrived_rps": None if run.truth is None else run.truth.rate_rps,
        "late_p99_ms": late,
        "server_late_p99_ms": run.server_late_p99_ms,
        "server_cpu": run.server_cpu,
        "dispatch_delay_p99_ms": further.get("dispatch_delay_p99_ms"),
        "own_verdict": further.get("is_valid_by_own_certification"),
        "client_cpu_max": further.get("cpu_max"),
        "is_honest": {f"{bound_ms:g}": judge(run, bound_ms).is_honest for bound_ms in BOUNDS_MS},
    }


def as_tables(summary: dict[str, Any], bench: Bench) -> str:
    """The limits of every tool, then every run of ours."""
    where = f"server on cores {_cores(bench.server_cpus)}, tools on cores {_cores(bench.client_cpus)}"
    return f"{_limits_table(summary)}\n\n{where}\n\n{_own_table(summary)}"


def _limits_table(summary: dict[str, Any]) -> str:
    headings = ["tool", "version"]
    for bound_ms in summary["bounds_ms"]:
        headings += [f"rps, arrivals within {bound_ms:g} ms at p99", "what ends it"]
    rows = [
        [name, of_tool["version"], *(cell for limit in of_tool["limits"].values() for cell in _cells(limit))]
        for name, of_tool in summary["tools"].items()
    ]
    return f"{table(headings, rows)}{absences(summary['absent'])}"


def _cells(limit: dict[str, Any]) -> tuple[str, str]:
    """The rate, and what ends the search: the tool, the server (then the tool may do better), or time."""
    highest, failed, is_the_servers = limit["highest_rps"], limit["failed_rps"], limit["is_the_servers"]
    ended = "" if limit["is_complete"] else "; its time was over"
    if failed is None:
        return number(highest, "g"), f"nothing that was tried{ended}"
    text = f"at {failed:g}/s: {limit['why'][-1 if is_the_servers else 0]}{ended}"
    if highest is None:
        return ("unknown" if is_the_servers else f"below {failed:g}"), text
    return (f"at least {highest:g}" if is_the_servers else f"{highest:g}"), text


def _own_table(summary: dict[str, Any]) -> str:
    headings = (
        "ours",
        "rate, rps",
        "dispatch delay p99, ms",
        "arrivals late p99, ms",
        "client cpu",
        "server cpu",
        "own verdict",
    )
    rows = [
        (
            name,
            f"{point['rate_rps']:g}",
            number(point["dispatch_delay_p99_ms"], ".2f"),
            number(point["late_p99_ms"], ".2f"),
            number(point["client_cpu_max"], ".0%"),
            number(point["server_cpu"], ".0%"),
            {True: "valid", False: "invalid", None: "-"}[point["own_verdict"]],
        )
        for name, of_tool in summary["tools"].items()
        if name.startswith("manta")
        for point in of_tool["points"]
    ]
    return table(headings, rows)


def _records(searches: Sequence[Search]) -> Iterable[dict[str, Any]]:
    for search in searches:
        deciding = search.deciding()
        for run in search.runs:
            verdicts = {f"{bound_ms:g}": _verdict(run, bound_ms) for bound_ms in BOUNDS_MS}
            requests = {"requests": requests_of(run)} if run in deciding else {}
            yield record_of(run) | {"verdicts": verdicts} | requests


def _verdict(run: Measured, bound_ms: float) -> dict[str, Any]:
    verdict = judge(run, bound_ms)
    return {"is_honest": verdict.is_honest, "is_void": verdict.is_void, "reasons": list(verdict.reasons)}


def _cores(cpus: Sequence[int]) -> str:
    return ", ".join(map(str, cpus)) if cpus else "any"


def _settings(
    arguments: argparse.Namespace, bench: Bench, tools: Tools, load_average: tuple[float, ...]
) -> dict[str, Any]:
    said = {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)}
    return said | {
        "server": {"ttft_ms": bench.ttft_ms, "tpot_ms": bench.tpot_ms},
        "load_average_before": load_average,
        "server_cpus": bench.server_cpus,
        "client_cpus": bench.client_cpus,
        "tools": {tool.name: tool.version for tool in tools.present},
    }
