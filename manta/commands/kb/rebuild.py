"""`manta kb rebuild`: the base made anew as it is configured now, while it answers."""

from __future__ import annotations

import click

from configs.load import api_key
from manta.client import DEFAULT_URL, MantaClient
from manta.console import count_progress, err

_TIMEOUT_S = 600.0  # of one step; the server may allow less, and says how far it came


@click.command("rebuild")
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server.")
@click.option("--tenant", default=None, help="Whose knowledge base is embedded again.")
@click.option(
    "--reindex/--no-reindex", default=True, show_default=True, help="Make the index anew at the end."
)
def command(url: str, tenant: str | None, *, reindex: bool) -> int:
    """Embed again what another model embedded, then make the index anew and swap it.

    Run it after the embedder, the analyzer or the graph changed. Searches go on all the time. Breaking it
    off does no harm: the next run goes on from there. Exit code 1: the chunker changed too, and a sync of the
    sources has to follow.
    """
    num_done = 0
    key, timeout_s = api_key(), _TIMEOUT_S + 60
    with MantaClient(url, tenant, timeout_s=timeout_s, api_key=key) as client, count_progress() as progress:
        task = progress.add_task("embedding again", total=None)
        while True:
            report = client.rebuild(reindex=reindex, timeout_s=_TIMEOUT_S)
            num_done += report["num_reembedded"]
            progress.update(task, completed=num_done, total=num_done + report["num_left"])
            if not report["num_left"]:
                break
    err.print(f"{num_done:,} documents were embedded again")
    if report["is_reindexed"]:
        err.print("the index was made anew")
    if report["num_wanted"]:
        err.print(
            f"{report['num_wanted']:,} documents can only be renewed from their sources: sync them (manta ingest)",
            style="yellow",
        )
    return 1 if report["num_wanted"] else 0
