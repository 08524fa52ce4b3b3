"""The command's options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from benchmarks import bare_vllm
from benchmarks.overhead.pace import Pace
from benchmarks.overhead.profile import ONE, Replicas

_CALLERS = {"mock": (1, 32, 128), "vllm": (1, 8, 32)}
_OF_THE_MOCK = ("replicas", "via_agent", "with_defaults", "slots", "ttft_ms", "tpot_ms")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; exits where they contradict each other. None: those of the command line."""
    parser = argparse.ArgumentParser(description="What Manta's path costs a stream, against a bare server.")
    parser.add_argument("--engine", choices=tuple(_CALLERS), default="mock", help="what makes the tokens")
    Pace.add_options(parser)
    parser.add_argument("--callers", type=_numbers, help="closed loops (1,32,128; of vLLM 1,8,32)")
    parser.add_argument("--replicas", type=_replicas, default=(ONE,), help="such as 1x1,2x2,4x4 (1x1)")
    parser.add_argument("--via-agent", action="store_true", help="also ingress -> agent -> engine")
    parser.add_argument("--with-defaults", action="store_true", help="also Serve without its fast path")
    parser.add_argument(
        "--slots", type=int, metavar="N", help="measure N leavings of each kind, and nothing else"
    )
    parser.add_argument("--only", help="ways, by their names, instead of all: no-hop,channel")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each run (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=2.0, help="of these, not counted (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=5, help="of everything (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--vllm-python", type=Path, default=bare_vllm.PYTHON, help="that has vLLM (%(default)s)"
    )
    parser.add_argument(
        "--vllm-device",
        choices=get_args(bare_vllm.Device),
        default="cpu",
        help="of all engines (%(default)s)",
    )
    parser.add_argument(
        "--vllm-model", type=Path, default=bare_vllm.TINY_MODEL, help="its folder (%(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="for the results' folder"
    )
    parser.add_argument("--no-results", action="store_true", help="only print")
    parser.add_argument("--keep-runs", type=Path, help="keep each run's own folder here (large)")
    arguments = parser.parse_args(words)
    if not 0 <= arguments.warm_up < arguments.duration or arguments.repetitions < 1:
        parser.error("the warm-up must end before the run; repetitions must be above 0")
    if arguments.engine != "mock":
        _refuse_options_of_the_mock(parser, arguments)
    arguments.callers = arguments.callers or _CALLERS[arguments.engine]
    return arguments


def _refuse_options_of_the_mock(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    for name in _OF_THE_MOCK:
        if getattr(arguments, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} is for --engine mock")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _replicas(text: str) -> tuple[Replicas, ...]:
    return tuple(Replicas.parse(word) for word in text.split(","))
