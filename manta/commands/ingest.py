"""`manta ingest`: documents into the knowledge base, sending only what changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click
from rich.progress import TaskID
from rich.table import Table

from configs.load import api_key
from manta.client import DEFAULT_URL, MantaClient
from manta.console import count_progress, err
from manta.sync import LIMITS, Watched, collect, sync
from serve_app.retrieval.sources.base import Source
from serve_app.retrieval.sources.syncing import Limits, SyncReport


@click.command("ingest")
@click.argument("places", nargs=-1, required=True)
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server.")
@click.option("--tenant", default=None, help="Whose knowledge base.")
@click.option(
    "--source", default=None, help="Name of the collection; default: the folder's, bucket's or host's."
)
@click.option("--allow-empty", is_flag=True, help="Let an empty source remove all of its documents.")
@click.option(
    "--max-removed-share",
    type=click.FloatRange(0, 1),
    default=LIMITS.max_removed_share,
    show_default=True,
    help="Share of a source's documents that may be removed.",
)
@click.option("--endpoint", default=None, help="Of a store that speaks S3's protocol and is not Amazon's.")
@click.option("--region", default=None, help="AWS region of the bucket.")
@click.option("--public-bucket", is_flag=True, help="Send S3 no signatures.")
@click.option(
    "--allow-host", multiple=True, help="Another host that pages may be on or redirect to; repeatable."
)
@click.option("--allow-private", is_flag=True, help="Let pages be on private and loopback addresses.")
def command(
    places: tuple[str, ...],
    url: str,
    tenant: str | None,
    source: str | None,
    max_removed_share: float,
    endpoint: str | None,
    region: str | None,
    allow_host: tuple[str, ...],
    *,
    allow_empty: bool,
    public_bucket: bool,
    allow_private: bool,
) -> int:
    """Make PLACES part of the knowledge base: folders, files, globs, s3://bucket/prefix, pages and sitemaps.

    A folder, a bucket's prefix and a sitemap are whole: what is no longer in them is removed from the
    base. Exit code 1 when a document failed; the others are in.
    """
    limits = Limits(LIMITS.max_document_bytes, max_removed_share, allow_empty)
    found = collect(
        places,
        source,
        url,
        endpoint=endpoint,
        region=region,
        is_public=public_bucket,
        also_allow=allow_host,
        allow_private=allow_private,
    )
    with MantaClient(url, tenant, api_key=api_key()) as client:
        report = ingest(client, found, limits)
    show(report)
    return 1 if report.failed else 0


def ingest(client: MantaClient, sources: Sequence[Source], limits: Limits = LIMITS) -> SyncReport:
    """Sync sources with a progress bar."""
    total = SyncReport()
    with count_progress() as progress:
        for source in sources:
            task = progress.add_task(source.name, total=None)

            def listed(num: int, task: TaskID = task) -> None:
                progress.update(task, total=num)

            total += sync(client, source, limits, watched=Watched(listed, partial(progress.advance, task)))
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
