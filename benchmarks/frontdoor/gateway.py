"""What LiteLLM's proxy adds to the application behind it: asked through it and past it, in turn."""

from __future__ import annotations

import itertools
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.application import CannotStart, Started, served
from benchmarks.frontdoor.addition import turns
from benchmarks.frontdoor.measure import Load, Subject
from benchmarks.frontdoor.pairs import compared
from benchmarks.frontdoor.settings import behind_gateway
from benchmarks.frontdoor.started import opened
from benchmarks.overhead.pace import MODEL, Pace
from benchmarks.target import Target
from configs.ports import free_port

PACE = Pace()  # of benchmarks/overhead: the proxy is slower than any door, and no pause hides that
WITHOUT = "past it"
_MASTER_KEY = "MANTA_BENCHMARK_MASTER_KEY"  # the name of the variable that holds it
PLACES = ("num_callers", "kind")


def experiment(
    loads: Sequence[Load], num_pairs: int, repetitions: int, seed: int, folder: Path, absent: list[str]
) -> Iterator[dict[str, Any]]:
    """A record of each run; nothing, and a line in `absent`, where LiteLLM is not installed."""
    seeds = itertools.count(seed)
    for repetition in range(repetitions):
        place = folder / f"repetition-{repetition}"
        master_key = secrets.token_hex(16)
        try:
            with (
                opened(behind_gateway(PACE, _MASTER_KEY), place) as application,
                _running(place / "profile.yaml", application.process.url, master_key) as proxy,
            ):
                through = Subject(Target(proxy.url, MODEL, master_key), proxy.process_id)
                subjects = {WITHOUT: application.subject(), "through it": through}
                for run in turns(subjects, loads, PACE, num_pairs, seeds, place):
                    yield {"repetition": repetition} | run
        except CannotStart as exc:
            absent.append(f"LiteLLM in repetition {repetition + 1}: {exc}")
            print(f"did not start: {absent[-1]}", file=sys.stderr)


@contextmanager
def _running(profile: Path, upstream: str, master_key: str) -> Iterator[Started]:
    port = free_port()
    command = [sys.executable, "-m", "manta", "gateway", "run", str(profile), "--port", str(port)]
    command += ["--upstream", upstream, "--stop-with-stdin"]
    secret = {_MASTER_KEY: master_key}
    with served(command, f"http://127.0.0.1:{port}", "/health/liveliness", **secret) as fresh:
        yield fresh


def summarise(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each number of callers and kind of answer. CPU is the application's, and LiteLLM's own."""
    return compared(records, PLACES, WITHOUT)
