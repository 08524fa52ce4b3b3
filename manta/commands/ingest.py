"""`manta ingest`: files into the knowledge base, sending only what changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
from rich.table import Table

from configs.load import api_key
from manta.client import DEFAULT_URL, MantaClient
from manta.console import count_progress, err
from manta.sync import Collection, SyncReport, collect, sync


@click.command("ingest")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server.")
@click.option("--tenant", default=None, help="Whose knowledge base.")
@click.option("--source", default=None, help="Name of the collection; default: the folder's name.")
@click.option("--allow-empty", is_flag=True, help="Let an empty folder remove all documents of its source.")
def command(
    paths: tuple[Path, ...], url: str, tenant: str | None, source: str | None, *, allow_empty: bool
) -> int:
    """Make PATHS (files and folders) part of the knowledge base.

    A folder is a source of its own: what is no longer in it is removed from the base. Exit code 1
    when a document failed; the others are in.
    """
    collections = collect(paths, source)
    with MantaClient(url, tenant, api_key=api_key()) as client:
        report = ingest(client, collections, allow_empty=allow_empty)
    show(report)
    return 1 if report.failed else 0


def ingest(client: MantaClient, collections: list[Collection], *, allow_empty: bool = False) -> SyncReport:
    """Sync collections with a progress bar."""
    total = SyncReport()
    with count_progress() as progress:
        for collection in collections:
            task = progress.add_task(collection.source, total=len(collection.files))
            total += sync(client, collection, partial(progress.advance, task), allow_empty=allow_empty)
    return total


def show(report: SyncReport) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("added", "changed", "unchanged", "removed", "failed", "skipped", "chunks", "embedded"):
        table.add_column(name, justify="right")
    table.add_row(
        *(
            str(number)
            for number in (
                report.num_added,
                report.num_changed,
                report.num_unchanged,
                report.num_removed,
                len(report.failed),
                report.num_skipped,
                report.num_chunks,
                report.num_embedded,
            )
        )
    )
    err.print(table)
    for path, reason in report.failed:
        err.print(f"failed: {path}: {reason}", style="red", markup=False)
