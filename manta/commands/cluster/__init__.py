"""`manta cluster`: a profile's cluster, from its plan to its end. Each verb is a module here."""

from __future__ import annotations

import click

from manta.lazy_group import LazyGroup

_COMMANDS: dict[str, str] = {
    "plan": "Say what a profile's cluster needs and costs, and why.",
    "render": "Write the files of a profile's cluster, for kubectl and kustomize.",
    "lint": "Say what is wrong with manifests, ours or anybody's.",
}


@click.command(
    cls=LazyGroup,
    package="manta.commands.cluster",
    commands=_COMMANDS,
    short_help="The cluster that a profile describes.",
)
def command() -> None:
    """Plan, render, check and run a profile's cluster on EKS."""
