"""`manta kb status`: what the base holds, and how current each source is."""

from __future__ import annotations

from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from configs.load import api_key
from manta.client import DEFAULT_URL, MantaClient
from manta.console import err, out

_STYLES = {"fresh": "green", "stale": "yellow", "failing": "red", "never_synced": "yellow"}


@click.command("status")
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server.")
@click.option("--tenant", default=None, help="Whose knowledge base.")
@click.option("--check", is_flag=True, help="Exit with 1 unless every source is fresh.")
def command(url: str, tenant: str | None, *, check: bool) -> int:
    """Show each source: fresh, stale, never synced or failing, and why."""
    with MantaClient(url, tenant, api_key=api_key()) as client:
        status = client.knowledge_status()
    standings = status["standings"]
    err.print(
        f"{status['num_documents']:,} documents, {status['num_chunks']:,} chunks in {status['store']}; "
        f"embedded by {status['embedding_id'] or 'nobody yet'}",
        markup=False,
    )
    if standings:
        out.print(_table(standings))
    is_current = all(one["standing"] == "fresh" for one in standings)
    return 1 if check and not is_current else 0


def _table(standings: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("source", "standing", "documents", "looked at", "current at", "why"):
        table.add_column(title, justify="right" if title == "documents" else "left")
    for one in standings:
        style = _STYLES.get(one["standing"], "")
        table.add_row(
            escape(one["source"]),
            f"[{style}]{one['standing'].replace('_', ' ')}[/]",
            f"{one['num_documents']:,}",
            one["checked_at"] or "never",
            one["synced_at"] or "never",
            escape(one["reason"]),
        )
    return table
