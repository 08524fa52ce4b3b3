"""From what a person asks for to jobs of the pipeline: which sources, whose, with what kept apart.

Ray is imported when there is something to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from configs.schema import PlatformConfig, SourceConfig
from serve_app.errors import BadRequest, ConfigError
from serve_app.retrieval.ingest import dead_letters
from serve_app.retrieval.ingest.dead_letters import DeadLetterFile
from serve_app.retrieval.ingest.job import Job, Watching
from serve_app.retrieval.sources.base import Source
from serve_app.retrieval.sources.open import named, open_source
from serve_app.retrieval.sources.syncing import Limits, SyncReport

DEAD_LETTERS = Path("dead-letters.jsonl")


@dataclass(frozen=True, slots=True)
class Chosen:
    """One source, as every worker opens it."""

    tenant: str
    name: str
    open: Callable[[], Source]
    max_removed_share: float
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is made."""

    num_workers: int = 1
    address: str | None = "local"  # of the Ray: see `pipeline.connected`
    application: str | None = None  # of Serve, whose embedder is asked; None: each worker has an engine
    dead_letters: Path = DEAD_LETTERS
    retry: Path | None = None  # a file of dead letters: these documents, and no others
    allow_empty: bool = False
    cpus_per_worker: float = 1.0


def typed(
    places: Sequence[str],
    name: str | None,
    tenant: str,
    max_bytes: int,
    max_removed_share: float,
    **options: object,
) -> list[Chosen]:
    """Sources of a command line: see `named`, which takes the options too."""
    opened = partial(named, tuple(places), name, max_bytes, tells_uris=True, **options)
    return [
        Chosen(tenant, source.name, partial(_nth, opened, at), max_removed_share)
        for at, source in enumerate(opened())
    ]


def configured(config: PlatformConfig, home: Path, name: str | None, tenant: str | None) -> list[Chosen]:
    """Sources of the profile; a name, or a tenant, chooses.

    Raises:
        BadRequest: there is none.
    """
    found = [
        _chosen(one, home, config.knowledge.max_document_bytes)
        for one in config.knowledge.sources
        if name in (None, one.name) and tenant in (None, one.tenant)
    ]
    if not found:
        known = ", ".join(sorted(one.name for one in config.knowledge.sources)) or "none"
        wanted = f"{name!r} " if name else ""
        raise BadRequest(f"the profile has no source {wanted}to ingest; it has: {known}")
    return found


def run(
    config: PlatformConfig,
    home: Path,
    chosen: Sequence[Chosen],
    settings: Settings,
    watch: Callable[[str], Watching],
) -> SyncReport:
    """Bring the sources up to date, one after the other.

    Args:
        config: the whole profile.
        home: its folder.
        chosen: the sources.
        settings: of the run.
        watch: source -> who is told how far its run is.

    Raises:
        MantaError: as `pipeline.ingest`; ConfigError: Ray Data is not installed.
    """
    if config.knowledge.store.kind == "memory":
        raise ConfigError("knowledge.store: memory keeps nothing: ingesting by workers needs another store")
    try:
        from serve_app.retrieval.ingest.pipeline import connected, ingest
    except ImportError as exc:
        raise ConfigError(
            f"ingesting by workers needs the extra `ingest` (pip install -e .[ingest]): {exc}"
        ) from exc
    total = SyncReport()
    with DeadLetterFile(settings.dead_letters) as letters:
        jobs = list(_jobs(config, home, chosen, settings))
        with connected(settings.address, settings.num_workers):
            for job in jobs:
                total += ingest(job, letters, watch(job.source))
    return total


def _jobs(config: PlatformConfig, home: Path, chosen: Sequence[Chosen], settings: Settings) -> Iterator[Job]:
    retried = None if settings.retry is None else dead_letters.read(settings.retry)
    for one in chosen:
        only = None if retried is None else retried.get((one.tenant, one.name), frozenset())
        if only is not None and not only:
            continue
        yield Job(
            tenant=one.tenant,
            source=one.name,
            open_source=one.open,
            knowledge=config.knowledge,
            embedder=config.embedder,
            home=home,
            limits=Limits(config.knowledge.max_document_bytes, one.max_removed_share, settings.allow_empty),
            num_workers=settings.num_workers,
            metadata=one.metadata,
            only=only,
            application=settings.application,
            cpus_per_worker=settings.cpus_per_worker,
        )


def _chosen(config: SourceConfig, home: Path, max_bytes: int) -> Chosen:
    return Chosen(
        config.tenant,
        config.name,
        partial(open_source, config, home, max_bytes),
        config.max_removed_share,
        dict(config.metadata),
    )


def _nth(opened: Callable[[], list[Source]], at: int) -> Source:
    return opened()[at]
