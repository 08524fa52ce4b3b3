"""`manta cluster`: a profile's cluster, from its plan to its end. Each verb is a module here."""

from __future__ import annotations

import click

from manta.lazy_group import LazyGroup

_COMMANDS: dict[str, str] = {
    "plan": "Say what a profile's cluster needs and costs, and why.",
    "render": "Write the files of a profile's cluster, for kubectl and kustomize.",
    "lint": "Say what is wrong with manifests, ours or anybody's.",
    "preflight": "Look whether everything that a profile's cluster needs is there.",
    "apply": "Apply a rendered tree, wave by wave, and go back if it does not come up.",
    "status": "Show what was applied, and how it is now.",
    "wait": "Wait until what was applied serves, or say why it does not.",
    "rollback": "Go back to what served before.",
    "delete": "Delete what was applied; say what stays behind and costs money.",
}


@click.command(
    cls=LazyGroup,
    package="manta.commands.cluster",
    commands=_COMMANDS,
    short_help="The cluster that a profile describes.",
)
def command() -> None:
    """Plan, render, check and run a profile's cluster on EKS."""
