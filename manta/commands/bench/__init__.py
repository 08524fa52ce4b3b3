"""`manta bench`: the load tester. Each verb is a module here; what it does is in `benchmarks`."""

from __future__ import annotations

import signal

import click

from manta.lazy_group import LazyGroup

_COMMANDS = {
    "run": "One load test against any OpenAI-compatible server.",
    "sweep": "Find the highest rate that the server sustains, and its goodput at the objectives.",
    "compare": "Compare two servers, or two sets of runs: an interval, a verdict, an exit code.",
    "report": "Make the page of a run again, from its folder.",
    "suite": "Ten scenarios against an application, one report.",
    "calibrate": "Measure how long a replica's steps take, for simulate.",
    "simulate": "Replay a trace against a model of the stack: replicas, objectives, cost.",
    "validate": "Run a trace for real and in the simulator; print the error.",
}


@click.command(
    cls=LazyGroup, package="manta.commands.bench", commands=_COMMANDS, short_help="Measure a server."
)
def command() -> None:
    """Measure a server: honestly, from the moment at which requests should arrive.

    The load comes from this machine; docs/benchmarking.md has the definitions and the method.
    """
    # What a verb has started, it has to stop; and what was measured is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
