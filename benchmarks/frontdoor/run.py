"""`python -m benchmarks frontdoor`: what the front door costs, and whether its limits and shares are exact.

    addition  a key, limits, guards and a cache miss, beside the same application without them
    hits      answers that come from the cache
    gateway   LiteLLM's proxy in front of the application
    limits    ten times what a limit lets through, on four replicas of the ingress and one Redis
    shares    tenants that all want more of a full engine than their share, on the same application

Everything runs on this machine, the load with it. Redis is Debian's redis-server; LiteLLM is in an environment of its
own (`make .venv-gateway`). Each part has a folder of its own, written when the part ends, so that nothing that comes
later loses it.
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

from benchmarks.application import CannotStart
from benchmarks.errors import BenchmarkError
from benchmarks.frontdoor import addition, gateway, hits, part, replicas
from benchmarks.frontdoor.measure import Load
from benchmarks.frontdoor.part import Part, Record
from benchmarks.frontdoor.settings import PACE, STEPS, STORES, Setting
from benchmarks.frontdoor.started import SharedRedis, redis_running
from benchmarks.frontdoor.text import as_text
from benchmarks.overhead.pace import Pace

# The whole door, which is what has a bar; the steps on the way to it cost 5 minutes each.
_DEFAULT_STEPS = ("miss",)
Parts = dict[str, Part]


def main() -> None:
    """Measure, print the tables, keep the results; Ctrl-C keeps what is measured."""
    arguments = _arguments()
    settings = _settings(arguments) | {"load_average_before": os.getloadavg()}
    out = None if arguments.no_results else arguments.out
    parts = {name: Part(name, settings, out) for name in part.ORDER if name in arguments.parts}
    try:
        with tempfile.TemporaryDirectory(prefix="frontdoor-") as scratch:
            _measure(arguments, parts, arguments.keep_runs or Path(scratch))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
    measured = [one for one in parts.values() if one.records]
    print(f"\n{as_text(part.summary(list(parts.values())))}")
    if not measured:
        print("benchmarks: nothing was measured", file=sys.stderr)
        sys.exit(2)
    for one in measured:
        if one.folder is not None:
            print(f"raw records of {one.name}: {one.folder}")


def _measure(arguments: argparse.Namespace, parts: Parts, folder: Path) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_running(folder)) if _needs_redis(arguments) else None
        makers: dict[str, Callable[[Part], None]] = {
            "addition": lambda one: _addition(arguments, one, redis, folder),
            "hits": lambda one: _hits(arguments, one, redis, folder),
            "gateway": lambda one: _gateway(arguments, one, folder),
        }
        for name, make in makers.items():
            if name in parts:
                with parts[name].measuring():
                    make(parts[name])
        if redis is not None and not {"limits", "shares"}.isdisjoint(parts):
            _replicas(arguments, parts, redis, folder)


def _needs_redis(arguments: argparse.Namespace) -> bool:
    in_stores = "redis" in arguments.stores and not {"addition", "hits"}.isdisjoint(arguments.parts)
    return in_stores or not {"limits", "shares"}.isdisjoint(arguments.parts)


def _addition(arguments: argparse.Namespace, one: Part, redis: SharedRedis | None, folder: Path) -> None:
    settings = [Setting(step, store) for store in arguments.stores for step in arguments.steps]
    records = addition.experiment(
        settings,
        _loads(arguments),
        arguments.pairs,
        arguments.repetitions,
        arguments.seed,
        redis,
        folder / one.name,
        one.absent,
    )
    for record in records:
        one.add(record)
        _say(f"{record['store']}, {record['step']}", record)


def _hits(arguments: argparse.Namespace, one: Part, redis: SharedRedis | None, folder: Path) -> None:
    records = hits.experiment(
        arguments.stores, _loads(arguments), arguments.seed, redis, folder / one.name, one.absent
    )
    for record in records:
        one.add(record)
        _say(f"{record['store']}, hit", record | {"side": record["hit"]})


def _gateway(arguments: argparse.Namespace, one: Part, folder: Path) -> None:
    records = gateway.experiment(
        _loads(arguments),
        arguments.pairs,
        arguments.repetitions,
        arguments.seed,
        folder / one.name,
        one.absent,
    )
    for record in records:
        one.add(record)
        _say("LiteLLM", record)


def _replicas(arguments: argparse.Namespace, parts: Parts, redis: SharedRedis, folder: Path) -> None:
    """Limits and shares, on one application."""
    dials, place = _dials(arguments), folder / "replicas"
    loads = {"limits": replicas.load_limits, "shares": replicas.load_engine}
    asked = [one for one in parts.values() if one.name in loads]
    try:
        with replicas.running(dials, redis, place) as application:
            for one in asked:
                with one.measuring():
                    for row, record in loads[one.name](application, dials, place):
                        one.rows.append(row)
                        one.add(record)
                        name = row.get("limit", row.get("tenant"))
                        print(f"{one.name}: {name}: off by {row['off']:+.2%}", flush=True)
    except CannotStart as exc:
        for one in asked:
            one.absent.append(f"limits and shares: {exc}")
        print(f"did not start: limits and shares: {exc}", file=sys.stderr)
    finally:
        decided = replicas.audited(place)  # the audit log is whole when the application has ended
        for one in asked:
            one.replicas = decided
            one.save()


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
    add("--parts", type=_words(part.ORDER), default=part.ORDER, help=f"of {','.join(part.ORDER)} (all)")
    add("--stores", type=_words(STORES), default=STORES, help="embedded,redis (both)")
    add("--steps", type=_words(tuple(STEPS)), default=_DEFAULT_STEPS, help=f"of {','.join(STEPS)} (miss)")
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
