"""The tools of an experiment: ours and those that were named, each asked whether it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.aiperf_tool import Aiperf
from benchmarks.peers.base import LoadTester, ToolFailed
from benchmarks.peers.guidellm_tool import Guidellm
from benchmarks.peers.manta_tool import Manta
from benchmarks.peers.measure import Bench
from benchmarks.peers.tokenizer_home import make_home
from benchmarks.peers.vllm_tool import VllmBench
from benchmarks.run.prepare import prepare
from benchmarks.target import Target
from configs.workload import ChatRequest, Workload

_NOT_GIVEN = "not given"


@dataclass(frozen=True, slots=True)
class Tools:
    """What runs, and what does not: name -> why."""

    present: tuple[LoadTester, ...]
    absent: Mapping[str, str]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the other tools are; each lives in an environment of its own."""
    for name in ("aiperf", "guidellm", "vllm"):
        parser.add_argument(f"--{name}", type=Path, help=f"the `{name}` command, to measure it too")


def choose(
    arguments: argparse.Namespace,
    bench: Bench,
    scratch: Path,
    num_workers: Sequence[int | None],
    aiperf_concurrency: int | None = None,
) -> Tools:
    """Ours first.

    Args:
        arguments: of `add_options`.
        num_workers: worker processes of ours, a tool each.
        aiperf_concurrency: also use aiperf with this cap; None: do not.

    Raises:
        BenchmarkError: ours cannot be prepared.
    """
    home = scratch / "home"
    make_home(home)
    kinds: dict[str, tuple[Path | None, Callable[[Path], LoadTester]]] = {
        "aiperf": (arguments.aiperf, lambda path: Aiperf(path, home, scratch / "aiperf")),
        "guidellm": (arguments.guidellm, lambda path: Guidellm(path, home, scratch / "guidellm")),
        "vllm bench serve": (arguments.vllm, lambda path: VllmBench(path, home, scratch / "vllm")),
    }
    if aiperf_concurrency is not None:
        kinds[f"aiperf --concurrency {aiperf_concurrency}"] = (
            arguments.aiperf,
            lambda path: Aiperf(path, home, scratch / "aiperf-capped", aiperf_concurrency),
        )
    present: list[LoadTester] = [*_ours(bench, scratch, num_workers)]
    absent = {}
    for name, (path, make) in kinds.items():
        if path is None:
            absent[name] = _NOT_GIVEN
            continue
        try:
            present.append(make(path))
        except ToolFailed as exc:
            absent[name] = str(exc)
    return Tools(tuple(present), absent)


def _ours(bench: Bench, scratch: Path, num_workers: Sequence[int | None]) -> list[Manta]:
    """Prepared on a server of its own, so that its questions are in no measured log."""
    workload = Workload(requests=(ChatRequest(kind="chat", prompt_tokens=64, output_tokens=32),))
    with bench.server(scratch / "prepare.jsonl") as server:
        prepared = prepare(workload, Target(server.url, model="reference"))
    return [Manta(prepared, workers) for workers in num_workers]
