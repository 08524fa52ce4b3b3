"""Flags that say what a sweep or a comparison asks, over a workload file; `run` has more of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from configs.load import parse_workload, read_workload_document
from configs.workload import Workload
from manta.commands.bench.run import command as run_command
from manta.commands.bench.run import with_flags

Command = TypeVar("Command", bound=Callable[..., Any])


def asked_options(function: Command) -> Command:
    """What is asked and how well it should be answered; not at which rate."""
    positive = click.FloatRange(min=0, min_open=True)
    options = [
        click.option(
            "--process",
            type=click.Choice(["constant", "poisson", "gamma"]),
            default=None,
            help="How requests arrive.  [default: poisson]",
        ),
        click.option("--burstiness", type=positive, default=None, help="Of --process gamma; 0.25 bursts."),
        click.option(
            "--kind", type=click.Choice(["chat", "completions", "embeddings"]), default=None, help="What is asked."
        ),
        click.option("--prompt-tokens", type=int, default=None, help="Length of the prompts."),
        click.option("--output-tokens", type=int, default=None, help="Length of the answers."),
        click.option("--ttft-ms", type=positive, default=None, help="Objective: time to the first token."),
        click.option("--tpot-ms", type=positive, default=None, help="Objective: time of a further token."),
        click.option("--e2e-ms", type=positive, default=None, help="Objective: time to the end of the answer."),
        click.option("--timeout", "timeout_s", type=positive, default=None, help="Seconds until one is given up."),
        click.option("--seed", type=click.IntRange(min=0), default=None, help="Everything random comes from it."),
        click.option("--name", default=None, help="Part of the results folder's name."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def asked_workload(path: Path | None, flags: dict[str, Any], rate_rps: float | None, name: str) -> Workload:
    """The file's workload with the flags in it, which win; arrivals of the file stay unless a rate is given.

    Raises:
        ProfileError: the file or a flag says something that a workload cannot be.
    """
    document = read_workload_document(path) if path is not None else {}
    arrives = flags["process"] is not None or flags["burstiness"] is not None
    if rate_rps is None and (arrives or "arrivals" not in document):
        rate_rps = _rate_of(document)
    empty = {parameter.name: None for parameter in run_command.params}
    merged = with_flags(document, empty | flags | {"rate": rate_rps})
    return parse_workload({"name": name, **merged})


def _rate_of(document: dict[str, Any]) -> float:
    arrivals = document.get("arrivals")
    rate = arrivals.get("rate_rps") if isinstance(arrivals, dict) else None
    return float(rate) if rate is not None else DEFAULT_RATE_RPS


DEFAULT_RATE_RPS = 10.0
