"""`manta usage`: what was used, by day, tenant, key and model."""

from __future__ import annotations

import click
from rich.markup import escape
from rich.table import Table

from configs.load import api_key
from manta.client import DEFAULT_URL, MantaClient
from manta.console import err, out


@click.command("usage")
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server.")
@click.option("--days", type=click.IntRange(1, 62), default=30, show_default=True, help="Today and before.")
@click.option("--tenant", default=None, help="One tenant; operators may name any, and see all without.")
def command(url: str, days: int, tenant: str | None) -> int:
    """Show what was used. The API key is taken from MANTA_API_KEY."""
    with MantaClient(url, api_key=api_key()) as client:
        rows = client.usage(days, tenant)
    if not rows:
        err.print(f"nothing was used in {days} days")
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("day", "tenant", "who", "model"):
        table.add_column(title)
    for title in ("requests", "prompt tokens", "answer tokens", "usd"):
        table.add_column(title, justify="right")
    for row in rows:
        names = (escape(str(row[name])) for name in ("day", "tenant", "who", "model"))
        counts = (f"{row[name]:,}" for name in ("requests", "prompt_tokens", "answer_tokens"))
        table.add_row(*names, *counts, f"{row['usd']:.6f}")
    out.print(table)
    return 0
