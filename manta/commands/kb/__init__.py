"""`manta kb`: the knowledge base. Each verb is a module here."""

from __future__ import annotations

import click

from manta.lazy_group import LazyGroup

_COMMANDS = {
    "status": "How current each source is, and why.",
    "search": "Find passages; --explain says how each of them was found.",
    "sync": "Have the server sync sources of its own profile.",
    "watch": "Keep folders, buckets and sites current until Ctrl-C.",
    "rebuild": "Embed again and index anew as configured now, while searches go on.",
}


@click.command(
    cls=LazyGroup, package="manta.commands.kb", commands=_COMMANDS, short_help="The knowledge base."
)
def command() -> None:
    """Look into the knowledge base of a running server, and keep it current."""
