"""`manta evaluate`: the quality gate, offline. Each verb is a module here; the work is in `serve_app.evaluation`."""

from __future__ import annotations

import click

from manta.lazy_group import LazyGroup

_COMMANDS = {
    "calibrate": "Fit stage A of the gate on labelled questions, for the profile's embedder.",
    "run": "Score answers with a judge; thresholds, a report and an exit code.",
}


@click.command(
    cls=LazyGroup, package="manta.commands.evaluate", commands=_COMMANDS, short_help="Calibrate and score."
)
def command() -> None:
    """Judge retrievals and answers offline: no server is needed and none is started."""
