"""`manta kb watch`: sources kept current, until somebody stops it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import click
import httpx

from configs.load import api_key
from manta.client import DEFAULT_URL, MantaClient
from manta.console import err
from manta.place_options import place_options, reached
from manta.sync import LIMITS, collect, sync
from serve_app.errors import MantaError
from serve_app.retrieval.sources.base import Source
from serve_app.retrieval.sources.syncing import SyncReport


@click.command("watch")
@click.argument("places", nargs=-1, required=True)
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server.")
@click.option("--tenant", default=None, help="Whose knowledge base.")
@click.option("--source", default=None, help="Name of the collection, as of `manta ingest`.")
@click.option(
    "--every", type=click.FloatRange(1, 86400), default=30.0, show_default=True, help="Seconds between looks."
)
@place_options
@click.option("--rounds", type=click.IntRange(1), default=None, help="Stop after so many looks.")
def command(
    places: tuple[str, ...],
    url: str,
    tenant: str | None,
    source: str | None,
    every: float,
    rounds: int | None,
    **reach: object,
) -> int:
    """Keep PLACES current: look every so often, and send what changed. Takes what `manta ingest` takes.

    A look that fails is told, noted in the base (`manta kb status` says failing), and made again.
    """
    options = reached(reach)
    with MantaClient(url, tenant, api_key=api_key()) as client:
        return watch(client, lambda: collect(places, source, url, **options), every, rounds, time.sleep)


def watch(
    client: MantaClient,
    find: Callable[[], Sequence[Source]],
    every_s: float,
    rounds: int | None,
    sleep: Callable[[float], None],
) -> int:
    """Looks until `rounds` are over; 1 if the last one failed.

    Args:
        client: of the server.
        find: the sources, opened anew for each look.
        every_s: seconds between two looks.
        rounds: None: for ever.
        sleep: waits.

    Raises:
        BadRequest: a place is not there at the first look; at a later one, it may come back.
    """
    names: list[str] = []  # of the sources, as they were last seen
    num_done, is_well = 0, True
    while rounds is None or num_done < rounds:
        if num_done:
            sleep(every_s)
        try:
            sources = find()
        except MantaError as exc:
            if not num_done:
                raise
            _failed(client, names, exc)
            is_well = False
        else:
            names = [one.name for one in sources]
            looks = [_look(client, one) for one in sources]
            is_well = all(looks)
        num_done += 1
    return 0 if is_well else 1


def _look(client: MantaClient, source: Source) -> bool:
    try:
        report = sync(client, source, LIMITS)
    except (MantaError, httpx.TransportError) as exc:
        _failed(client, [source.name], exc)
        return False
    if _has_news(report):
        err.print(
            f"{source.name}: {report.num_added} added, {report.num_changed} changed, {report.num_removed} removed, "
            f"{len(report.failed)} failed",
            markup=False,
        )
    for path, reason in report.failed:
        err.print(f"failed: {path}: {reason}", style="red", markup=False)
    return not report.failed


def _failed(client: MantaClient, sources: Sequence[str], fault: Exception) -> None:
    """Tell the person and the base. A server that is not there cannot be told, which was told already."""
    told = " ".join(str(fault).split()) or fault.__class__.__name__
    err.print(f"{', '.join(sources)}: {told}", style="red", markup=False)
    with suppress(MantaError, httpx.TransportError):
        for source in sources:
            client.sync_failed(source, told)


def _has_news(report: SyncReport) -> bool:
    return bool(report.num_added or report.num_changed or report.num_removed or report.failed)
