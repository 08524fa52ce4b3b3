"""`python -m benchmarks frontdoor`: what the front door costs, and whether its limits and shares are exact.

    addition  a key, limits, guards and a cache miss, beside the same application without them
    hits      answers that come from the cache
    gateway   LiteLLM's proxy in front of the application
    limits    ten times what a limit lets through, on four replicas of the ingress and one Redis
    shares    tenants that all want more of a full engine than their share, on the same application

Everything runs on this machine, the load with it. Redis is Debian's redis-server; LiteLLM is in an environment of its
own (`make .venv-gateway`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import results_folder
from benchmarks.application import CannotStart
from benchmarks.errors import BenchmarkError
from benchmarks.frontdoor import addition, bars, gateway, hits, replicas
from benchmarks.frontdoor.measure import Load
from benchmarks.frontdoor.settings import PACE, STEPS, STORES, Setting
from benchmarks.frontdoor.started import SharedRedis, redis_running
from benchmarks.frontdoor.text import as_text
from benchmarks.overhead.pace import Pace

PARTS = ("addition", "hits", "gateway", "limits", "shares")
_DEFAULT_STEPS = ("key", "limits", "guards", "miss")
Record = dict[str, Any]


class Findings:
    """What was measured so far; complete at any moment, so that Ctrl-C keeps it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.rows: dict[str, list[Record]] = {"limits": [], "shares": []}
        self.replicas: dict[str, Any] | None = None
        self.absent: list[str] = []

    def add(self, part: str, record: Record) -> None:
        self.records.append({"part": part} | record)

    def of(self, part: str) -> list[Record]:
        return [record for record in self.records if record["part"] == part]

    def summary(self) -> dict[str, Any]:
        added = addition.summarise(self.of("addition"))
        limits, shares = self.rows["limits"], self.rows["shares"]
        return {
            "addition": added,
            "hits": hits.summarise(self.of("hits")),
            "gateway": gateway.summarise(self.of("gateway")),
            "limits": limits,
            "shares": shares,
            "replicas": self.replicas,
            "verdicts": [*bars.added(added), *bars.admitted(limits), *bars.shares(shares)],
            "did_not_start": self.absent,
        }


def main() -> None:
    """Measure, print the tables, keep the results; Ctrl-C keeps what is measured."""
    arguments = _arguments()
    settings = _settings(arguments) | {"load_average_before": os.getloadavg()}
    findings = Findings()
    try:
        with tempfile.TemporaryDirectory(prefix="frontdoor-") as scratch:
            _measure(arguments, findings, arguments.keep_runs or Path(scratch))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        findings.absent.append(str(exc))
    if not findings.records:
        print("benchmarks: nothing was measured", file=sys.stderr)
        sys.exit(2)
    summary = findings.summary()
    print(f"\n{as_text(summary)}")
    if not arguments.no_results:
        folder = results_folder.new_folder(arguments.out, "frontdoor")
        results_folder.fill(folder, settings, summary, findings.records)
        print(f"\nraw records: {folder}")


def _measure(arguments: argparse.Namespace, findings: Findings, folder: Path) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_running(folder)) if _needs_redis(arguments) else None
        makers: dict[str, Callable[[], None]] = {
            "addition": lambda: _addition(arguments, findings, redis, folder),
            "hits": lambda: _hits(arguments, findings, redis, folder),
            "gateway": lambda: _gateway(arguments, findings, folder),
        }
        for part, make in makers.items():
            if part in arguments.parts:
                make()
        if redis is not None and not {"limits", "shares"}.isdisjoint(arguments.parts):
            _replicas(arguments, findings, redis, folder)


def _needs_redis(arguments: argparse.Namespace) -> bool:
    in_stores = "redis" in arguments.stores and not {"addition", "hits"}.isdisjoint(arguments.parts)
    return in_stores or not {"limits", "shares"}.isdisjoint(arguments.parts)


def _addition(
    arguments: argparse.Namespace, findings: Findings, redis: SharedRedis | None, folder: Path
) -> None:
    settings = [Setting(step, store) for store in arguments.stores for step in arguments.steps]
    records = addition.experiment(
        settings,
        _loads(arguments),
        arguments.pairs,
        arguments.repetitions,
        arguments.seed,
        redis,
        folder / "addition",
        findings.absent,
    )
    for record in records:
        findings.add("addition", record)
        _say(f"{record['store']}, {record['step']}", record)


def _hits(arguments: argparse.Namespace, findings: Findings, redis: SharedRedis | None, folder: Path) -> None:
    records = hits.experiment(
        arguments.stores, _loads(arguments), arguments.seed, redis, folder / "hits", findings.absent
    )
    for record in records:
        findings.add("hits", record)
        _say(f"{record['store']}, hit", record | {"side": record["hit"]})


def _gateway(arguments: argparse.Namespace, findings: Findings, folder: Path) -> None:
    records = gateway.experiment(
        _loads(arguments),
        arguments.pairs,
        arguments.repetitions,
        arguments.seed,
        folder / "gateway",
        findings.absent,
    )
    for record in records:
        findings.add("gateway", record)
        _say("LiteLLM", record)


def _replicas(arguments: argparse.Namespace, findings: Findings, redis: SharedRedis, folder: Path) -> None:
    dials, place = _dials(arguments), folder / "replicas"
    loads = {"limits": replicas.load_limits, "shares": replicas.load_engine}
    try:
        with replicas.running(dials, redis, place) as application:
            for part, load in loads.items():
                if part in arguments.parts:
                    for row, record in load(application, dials, place):
                        findings.rows[part].append(row)
                        findings.add(part, record)
                        name = row.get("limit", row.get("tenant"))
                        print(f"{part}: {name}: off by {row['off']:+.2%}", flush=True)
    except CannotStart as exc:
        findings.absent.append(f"limits and shares: {exc}")
        print(f"did not start: {findings.absent[-1]}", file=sys.stderr)
    finally:
        findings.replicas = replicas.audited(place)


def _loads(arguments: argparse.Namespace) -> list[Load]:
    return [
        Load(num_callers, kind == "stream", arguments.duration, arguments.warm_up)
        for num_callers in arguments.callers
        for kind in arguments.answers
    ]


def _say(name: str, record: Record) -> None:
    doubt = f"; not certified: {record['reasons'][0]}" if record["reasons"] else ""
    print(
        f"{name}: {record['num_callers']:>3} callers, {record['kind']:<6} {record['side']:<10}"
        f" answer p50 {record['answer_ms']['p50']:8.2f} ms, {record['requests_per_s']:7.1f} requests/s{doubt}",
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--parts", type=_words(PARTS), default=PARTS, help=f"of {','.join(PARTS)} (all)")
    add("--stores", type=_words(STORES), default=STORES, help="embedded,redis (both)")
    add("--steps", type=_words(tuple(STEPS)), default=_DEFAULT_STEPS, help=f"of {','.join(STEPS)}")
    add("--callers", type=_numbers, default=(1, 32), help="closed loops (1,32)")
    add("--answers", type=_words(("stream", "json")), default=("stream", "json"), help="stream,json (both)")
    add("--duration", type=float, default=8.0, help="seconds of each closed loop (%(default)s)")
    add("--warm-up", type=float, default=2.0, help="of these, not counted (%(default)s)")
    add("--pairs", type=int, default=3, help="of runs without and with, for each load (%(default)s)")
    add(
        "--repetitions",
        type=int,
        default=1,
        help="of addition and gateway, each started afresh (%(default)s)",
    )
    add("--limits-duration", type=float, default=60.0, help="seconds of limits and shares (%(default)s)")
    add("--ingress-replicas", type=int, default=4, help="of limits and shares (%(default)s)")
    add("--over", type=float, default=10.0, help="times what a limit lets through (%(default)s)")
    add("--seed", type=int, default=1)
    add("--out", type=Path, default=Path("benchmarks/results"), help="for the results' folder")
    add("--no-results", action="store_true", help="only print")
    add("--keep-runs", type=Path, help="keep each run's own folder here (large)")
    arguments = parser.parse_args()
    if not 0 <= arguments.warm_up < arguments.duration or min(arguments.pairs, arguments.repetitions) < 1:
        parser.error("the warm-up must end before the run; pairs and repetitions must be above 0")
    return arguments


def _words(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(text.split(","))
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r} is none of: {', '.join(known)}")
        return words

    return parse


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _dials(arguments: argparse.Namespace) -> replicas.Dials:
    return replicas.Dials(
        duration_s=arguments.limits_duration,
        num_ingress=arguments.ingress_replicas,
        over=arguments.over,
        seed=arguments.seed,
    )


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    said = {name: value for name, value in vars(arguments).items() if name not in ("out", "keep_runs")}
    paces: dict[str, Pace] = {
        "addition and hits": PACE,
        "gateway": gateway.PACE,
        "shares": replicas.FULL_PACE,
    }
    return said | {
        "dials": asdict(_dials(arguments)),
        "sharers": [asdict(one) for one in replicas.SHARERS],
        "paces": {name: asdict(pace) for name, pace in paces.items()},
    }
