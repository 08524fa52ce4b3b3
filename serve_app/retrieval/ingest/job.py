"""What a run of the pipeline is told, and whom it tells. Nothing of Ray in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from configs.schema import EmbedderConfig, KnowledgeConfig
from serve_app.retrieval.sources.base import Source
from serve_app.retrieval.sources.syncing import Limits


@dataclass(frozen=True, slots=True)
class Job:
    """What is ingested, and by whom. It travels to every worker."""

    tenant: str
    source: str
    open_source: Callable[[], Source]  # called in every worker
    knowledge: KnowledgeConfig
    embedder: EmbedderConfig
    home: Path
    limits: Limits
    num_workers: int = 1
    metadata: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[str] | None = None  # paths; None: all, and what is gone is removed
    application: str | None = (
        None  # of Serve, whose embedder is asked; None: each worker has an engine of its own
    )
    cpus_per_worker: float = 1.0


@dataclass(frozen=True, slots=True)
class Watching:
    """Who is told how far the run is."""

    listed: Callable[[int], None] = lambda num: None
    advance: Callable[[int], None] = lambda num: None
