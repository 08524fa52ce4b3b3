"""`manta ingest`: documents into the knowledge base, sending only what changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
from rich.progress import TaskID
from rich.table import Table

from configs.load import api_key, home, read_profile
from manta.client import DEFAULT_URL, MantaClient
from manta.console import count_progress, err
from manta.place_options import place_options, reached
from manta.profile_options import profile_option
from manta.sync import LIMITS, Watched, collect, sync
from serve_app.retrieval.ingest.job import Watching
from serve_app.retrieval.ingest.run import DEAD_LETTERS, Settings, configured, run, typed
from serve_app.retrieval.sources.base import Source
from serve_app.retrieval.sources.syncing import Limits, SyncReport


@click.command("ingest")
@click.argument("places", nargs=-1)
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
@place_options
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=None,
    help="Parse and embed here, in so many processes, and write the profile's store; needs no server.",
)
@profile_option("Of --workers: whose store.")
@click.option(
    "--retry", type=click.Path(path_type=Path), default=None, help="Of --workers: a file of what failed."
)
@click.option(
    "--dead-letters",
    type=click.Path(path_type=Path),
    default=DEAD_LETTERS,
    show_default=True,
    help="Of --workers: what fails is written there.",
)
def command(
    places: tuple[str, ...],
    url: str,
    tenant: str | None,
    source: str | None,
    max_removed_share: float,
    workers: int | None,
    profile: Path,
    retry: Path | None,
    dead_letters: Path,
    *,
    allow_empty: bool,
    **reach: object,
) -> int:
    """Make PLACES part of the knowledge base: folders, files, globs, s3://bucket/prefix, pages and sitemaps.

    A folder, a bucket's prefix and a sitemap are whole: what is no longer in them is removed from the
    base. Exit code 1 when a document failed; the others are in.
    """
    options = reached(reach)
    if workers is not None or retry is not None:
        settings = Settings(workers or 1, dead_letters=dead_letters, retry=retry, allow_empty=allow_empty)
        report = ingest_here(places, source, tenant, profile, max_removed_share, settings, **options)
        show(report)
        if report.failed:
            err.print(f"what failed is in {dead_letters}: feed it in again with --retry", markup=False)
        return 1 if report.failed else 0
    if not places:
        raise click.UsageError(
            "name folders, files, globs, s3://... or pages (or --workers, for the profile's sources)"
        )
    limits = Limits(LIMITS.max_document_bytes, max_removed_share, allow_empty)
    found = collect(places, source, url, **options)
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


def ingest_here(
    places: Sequence[str],
    source: str | None,
    tenant: str | None,
    profile: Path,
    max_removed_share: float,
    settings: Settings,
    **options: object,
) -> SyncReport:
    """Ingest by workers of this machine, with a progress bar; without places the profile's own sources."""
    platform = read_profile(profile).platform
    folder = home(platform)
    limit = platform.knowledge.max_document_bytes
    if places:
        whose = tenant or platform.ingress.default_tenant
        chosen = typed(places, source, whose, limit, max_removed_share, **options)
    else:
        chosen = configured(platform, folder, source, tenant)
    with count_progress() as progress:

        def watch(name: str) -> Watching:
            task = progress.add_task(name, total=None)
            return Watching(lambda num: progress.update(task, total=num), partial(progress.advance, task))

        return run(platform, folder, chosen, settings, watch)


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
