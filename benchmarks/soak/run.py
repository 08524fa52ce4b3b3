"""`python -m benchmarks soak`: an application under a steady mixed load, and whether anything grows in it.

What it can do is found first, in a closed loop; the load is a share of that. The load runs on the same machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import results_folder
from benchmarks.application import Started, started, write_profile
from benchmarks.errors import BenchmarkError
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.records import Record
from benchmarks.run.execute import Prepared, Run, RunOptions, execute
from benchmarks.run.progress import Progress
from benchmarks.scenarios.knowledge import client_for, ensure_documents
from benchmarks.soak.growth import Trend, changes, trends
from benchmarks.soak.mix import MODEL, platform, workload
from benchmarks.soak.outcomes import count_outcomes, is_expected
from benchmarks.soak.sampling import Sampler, as_json, read_samples
from benchmarks.soak.still_running import not_given_back, read_held, still_running
from benchmarks.soak.text import as_text
from benchmarks.target import Target
from configs.workload import ClosedLoop, PoissonArrivals

_CAPACITY_S = 12.0
_CAPACITY_WARM_UP_S = 2.0
_SAY_EVERY_S = 60.0
_MAX_UNEXPECTED = 100
_EXPORT_TIMEOUT_S = 40.0  # several of Ray's exports of metrics
# Those that do the application's work; the others are Ray's own, and told beside them.
_OURS = ("replica ", "haproxy", "ray ProxyActor", "ray HAProxyManager")


def main() -> None:
    """Run it, print the verdict, keep the samples. Exit code 1: something grows, or did not end as it should."""
    arguments = _arguments()
    settings = _settings(arguments) | {"load_average_before": os.getloadavg()}
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        try:
            profile = arguments.profile or write_profile(Path(scratch) / "soak.yaml", platform())
            with started(profile) as application:
                summary, run = _soak(application, arguments, Path(scratch))
        except BenchmarkError as exc:
            print(f"benchmarks: {exc}", file=sys.stderr)
            sys.exit(2)
        samples = read_samples(Path(scratch) / "samples.jsonl")
        print(as_text(summary))
        folder = results_folder.new_folder(arguments.out, "soak")
        results_folder.fill(folder, settings, summary, (as_json(sample) for sample in samples))
        _keep_load(run, folder / "load", keep_records=arguments.keep_records)
    print(f"\nraw records: {folder}")
    is_good = (
        summary["is_flat"] is not False and not summary["still_running"] and not summary["not_given_back"]
    )
    sys.exit(0 if is_good and not summary["num_unexpected"] else 1)


def _soak(application: Started, arguments: argparse.Namespace, scratch: Path) -> tuple[dict[str, Any], Run]:
    target = Target(application.url, MODEL)
    with client_for(target) as http:
        ensure_documents(http)
    prompts = prepare_prompts(arguments.seed, (), why="the mock counts words")
    prepared = Prepared(target, prompts, can_hold_length=False)
    capacity_rps = _capacity_rps(prepared, arguments, scratch / "capacity")
    rate_rps = arguments.rate or arguments.load * capacity_rps
    print(f"answers {capacity_rps:.1f} requests/s at most; the load is {rate_rps:.1f}", flush=True)
    samples_path = scratch / "samples.jsonl"
    with Sampler(application.process_id, samples_path, arguments.every) as sampler:
        time.sleep(arguments.idle)
        with client_for(target) as http:
            before = read_held(http)
        sampler.phase = "load"
        arrivals = PoissonArrivals(process="poisson", rate_rps=rate_rps)
        asked = workload(arrivals, arguments.minutes * 60, arguments.seed)
        options = RunOptions(num_workers=1, keep_token_times=False, on_progress=_Voice())
        run = execute(asked, prepared, scratch / "load", options)
        sampler.phase = "idle after"
        time.sleep(arguments.idle)
    with client_for(target) as http:
        left = still_running(http, _EXPORT_TIMEOUT_S)
        kept = not_given_back(http, before, _EXPORT_TIMEOUT_S)
    found = trends(read_samples(samples_path))
    summary = summarise(found, run.records) | {
        "capacity_rps": round(capacity_rps, 2),
        "rate_rps": round(rate_rps, 2),
        "minutes": round(_minutes(run), 2),
        "was_interrupted": run.was_interrupted,
        "changes": changes(read_samples(samples_path)),
        "still_running": left,
        "held_before": before,
        "not_given_back": kept,
        "client_reasons": run.summary.certification.reasons,
    }
    return summary, run


def _capacity_rps(prepared: Prepared, arguments: argparse.Namespace, folder: Path) -> float:
    """Requests a second that end as they should, with as many users as the load will never have."""
    arrivals = ClosedLoop(process="closed", concurrency=arguments.callers)
    asked = workload(arrivals, _CAPACITY_S, arguments.seed + 1)
    run = execute(asked, prepared, folder, RunOptions(num_workers=1, keep_token_times=False))
    if run.was_interrupted:
        raise BenchmarkError("interrupted before there was anything to keep")
    ended = [record for record in run.records if record.end_ns >= _CAPACITY_WARM_UP_S * 1e9]
    within = [record for record in ended if record.end_ns < _CAPACITY_S * 1e9 and is_expected(record)]
    if not within:
        raise BenchmarkError("nothing was answered")
    return len(within) / (_CAPACITY_S - _CAPACITY_WARM_UP_S)


def summarise(found: Sequence[Trend], records: Sequence[Record]) -> dict[str, Any]:
    """The verdict over the application's own processes, and all that it stands on."""
    rows = [asdict(trend) | {"kept": trend.kept, "is_ours": trend.kind.startswith(_OURS)} for trend in found]
    own = [row["is_flat"] for row in rows if row["is_ours"]]
    is_flat: bool | None = None
    if False in own:
        is_flat = False
    elif own and None not in own:
        is_flat = True
    return {"is_flat": is_flat, "num_requests": len(records), **count_outcomes(records), "trends": rows}


def _minutes(run: Run) -> float:
    end_s = run.settings["arrivals_end_s"]
    assert isinstance(end_s, float)
    return end_s / 60


def _keep_load(run: Run, target: Path, *, keep_records: bool) -> None:
    """The load's own folder; its raw records are some 300 bytes a request and kept only if asked for.

    Those that did not end as they should are kept always, the first hundred of them.
    """
    target.mkdir()
    for path in run.folder.iterdir():
        if keep_records or path.name != "records.jsonl":
            shutil.copy(path, target / path.name)
    unexpected = [record for record in run.records if not is_expected(record)]
    lines = [msgspec.json.encode(record) + b"\n" for record in unexpected[:_MAX_UNEXPECTED]]
    (target / "unexpected.jsonl").write_bytes(b"".join(lines))


class _Voice:
    """Says once a minute how it goes."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.at_s < self._next_s:
            return
        self._next_s += _SAY_EVERY_S
        minutes = f"{progress.at_s / 60:.0f} of {progress.duration_s / 60:.0f} min"
        outcomes = ", ".join(f"{num:,} {outcome}" for outcome, num in sorted(progress.num_outcomes.items()))
        print(f"{minutes}: {progress.num_in_flight} in flight; {outcomes}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="of load (%(default)s)")
    parser.add_argument("--load", type=float, default=0.7, help="share of what it can do (%(default)s)")
    parser.add_argument("--rate", type=float, help="requests/s instead of a share")
    parser.add_argument(
        "--callers", type=int, default=32, help="of the closed loop that finds what it can do"
    )
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples (%(default)s)")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds without load before and after")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", type=Path, help="another application with models of the same names")
    parser.add_argument("--keep-records", action="store_true", help="also every request (large)")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="for the results' folder"
    )
    arguments = parser.parse_args()
    if not 0 < arguments.load <= 1 or arguments.minutes <= 0 or arguments.every <= 0:
        parser.error("the load is a share above 0; minutes and seconds are above 0")
    return arguments


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(arguments).items() if name not in ("out", "profile")}
