"""`manta kb sync`: the server's own sources, synced by the server."""

from __future__ import annotations

import click

from configs.load import api_key
from manta.client import DEFAULT_URL, MantaClient
from manta.console import err


@click.command("sync")
@click.argument("sources", nargs=-1, required=True)
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server.")
@click.option("--tenant", default=None, help="Whose knowledge base.")
def command(sources: tuple[str, ...], url: str, tenant: str | None) -> int:
    """Have SOURCES of the server's profile (knowledge.sources) synced now, in the background."""
    with MantaClient(url, tenant, api_key=api_key()) as client:
        for source in sources:
            client.begin_sync(source)
    err.print("begun; manta kb status says what comes of it")
    return 0
