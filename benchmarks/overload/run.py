"""`python -m benchmarks overload`: goodput at and beyond the capacity of a model, and who is turned away.

An application is started (or one that runs is asked), its capacity is found with as many requests in flight as it
has slots, and then requests arrive at multiples of that capacity, in an open loop that does not slow down when the
server does and tries nothing again. Goodput counts the requests that met both objectives. A second table has a part
of the requests as batch: once they say so, and once they do not.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import results_folder
from benchmarks.application import application
from benchmarks.errors import BadTarget, BenchmarkError
from benchmarks.overload.judge import as_text, summarise
from benchmarks.overload.measure import Interrupted, Measured, measure, pace_of
from benchmarks.overload.plan import Dials, PlannedRun, planned_runs, request
from benchmarks.run.execute import Prepared
from benchmarks.run.prepare import prepare
from benchmarks.scenarios.calibration import Pace
from benchmarks.target import Target
from configs.load import Profile, ProfileError, read_profile
from configs.schema import ModelConfig
from configs.workload import Objectives, Workload

PROFILE = Path(__file__).with_name("profile.yaml")
PAUSE_S = 5.0  # between two runs: what still waits is served, and the queue forgets that it stood
# Of an idle server's times, where no objectives are given.
TTFT_SLACK, E2E_SLACK = 5.0, 2.0
LEAST_TTFT_MS = 250.0


def main() -> None:
    """Run the experiment, print its tables, keep its results."""
    arguments = _arguments()
    try:
        profile = read_profile(arguments.profile)
        model = _model(profile, arguments.model)
        folder = results_folder.new_folder(arguments.out, "overload")
        load_average = os.getloadavg()
        with application(arguments.url, arguments.profile) as url:
            prepared = prepare(Workload(requests=(request(),)), Target(url, model.name))
            settings, runs = _experiment(arguments, prepared, model, folder)
    except (BenchmarkError, ProfileError) as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    settings |= {"load_average_before": load_average, "profile": arguments.profile.name}
    summary = summarise(runs)
    results_folder.fill(folder, settings, summary, [run.record() for run in runs])
    print(f"\n{as_text(summary)}\n\nraw records: {folder}")


def _experiment(
    arguments: argparse.Namespace, prepared: Prepared, model: ModelConfig, folder: Path
) -> tuple[dict[str, Any], list[Measured]]:
    """(what was set and found before, every run that was made to its end)."""
    dials = _dials(arguments)
    num_slots = model.scaling.max_ongoing_requests * model.scaling.max_replicas
    pace = pace_of(prepared, num_slots, arguments.calibration, dials.timeout_s)
    capacity_rps = arguments.capacity or pace.capacity_rps
    objectives = _objectives(arguments, pace)
    print(f"capacity {capacity_rps:.2f} requests/s with {num_slots} slots; {_said(objectives)}", flush=True)
    settings = {
        "dials": asdict(dials),
        "num_slots": num_slots,
        "capacity_rps": round(capacity_rps, 3),
        "pace": asdict(pace),
        "objectives": objectives.model_dump(exclude_none=True),
    }
    runs: list[Measured] = []
    for planned in planned_runs(dials):
        try:
            runs.append(measure(planned, prepared, capacity_rps, objectives, dials, folder))
            print(_line(planned, runs[-1]), flush=True)
            time.sleep(PAUSE_S)
        except (Interrupted, KeyboardInterrupt):
            break
    if not runs:
        raise BenchmarkError("no run was made to its end")
    return settings, runs


def _arguments() -> argparse.Namespace:
    dials = Dials()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--profile", type=Path, default=PROFILE, help="what to start; says how many slots there are")
    add("--url", help="an application of the profile that runs already; by default one is started")
    add("--model", help="of the profile; its first one by default")
    add("--multiples", type=_numbers, default=dials.multiples, help="of the capacity, such as 0.5,1,3")
    add(
        "--mixed",
        type=_numbers,
        default=dials.mixed_multiples,
        help="likewise, with batch requests; '' for none",
    )
    add("--batch-share", type=float, default=dials.batch_share, help="of those (%(default)s)")
    add("--duration", type=float, default=dials.duration_s, help="seconds of each run (%(default)s)")
    add("--repetitions", type=int, default=dials.repetitions, help="of every run (%(default)s)")
    add("--seed", type=int, default=dials.seed, help="of arrivals and lengths (%(default)s)")
    add("--timeout", type=float, default=dials.timeout_s, help="seconds; then a request is given up")
    add("--calibration", type=float, default=15.0, help="seconds for each half of finding the capacity")
    add("--capacity", type=float, help="requests/s; found by default")
    add("--ttft-ms", type=float, help="objective; 5 times that of an idle server by default, at least 250")
    add("--e2e-ms", type=float, help="objective; the ttft's and twice the idle server's e2e by default")
    add("--out", type=Path, default=Path("benchmarks/results"), help="for the folder")
    arguments = parser.parse_args()
    if not arguments.multiples or not 0 < arguments.batch_share < 1 or arguments.repetitions < 1:
        parser.error("there must be multiples and repetitions, and the share of batch is between 0 and 1")
    return arguments


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(",") if part)


def _dials(arguments: argparse.Namespace) -> Dials:
    return Dials(
        multiples=arguments.multiples,
        mixed_multiples=arguments.mixed,
        batch_share=arguments.batch_share,
        duration_s=arguments.duration,
        timeout_s=arguments.timeout,
        repetitions=arguments.repetitions,
        seed=arguments.seed,
    )


def _model(profile: Profile, name: str | None) -> ModelConfig:
    models: Sequence[ModelConfig] = profile.platform.models
    found = [model for model in models if name is None or model.name == name]
    if not found:
        raise BadTarget(f"{profile.path} has no model {name}")
    return found[0]


def _objectives(arguments: argparse.Namespace, pace: Pace) -> Objectives:
    idle_ttft_ms = pace.ttft_ms or 0.0
    ttft_ms = arguments.ttft_ms or float(round(max(LEAST_TTFT_MS, TTFT_SLACK * idle_ttft_ms)))
    e2e_ms = arguments.e2e_ms or float(round(ttft_ms + E2E_SLACK * pace.e2e_ms))
    return Objectives(ttft_ms=ttft_ms, e2e_ms=e2e_ms)


def _said(objectives: Objectives) -> str:
    return f"objectives: ttft {objectives.ttft_ms:g} ms, e2e {objectives.e2e_ms:g} ms"


def _line(planned: PlannedRun, run: Measured) -> str:
    parts = ", ".join(
        f"{name}: offered {figures.offered_rps:.1f}/s, goodput {figures.goodput_rps:.2f}/s, "
        f"refused {figures.refused_share:.0%}, failed {figures.failed_share:.0%}"
        for name, figures in run.parts.items()
    )
    return f"{planned.name} ({planned.repetition + 1}): {parts}"
