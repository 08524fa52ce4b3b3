"""From a configuration to the store that it names, its manifest, and what keeps its writers apart.

Heavy imports stay in their branches: naming a store costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.schema import LanceDbStoreConfig, MilvusStoreConfig, OpenSearchStoreConfig, StoreConfig
from serve_app.errors import ConfigError
from serve_app.retrieval.base import Store
from serve_app.retrieval.jobs.base import JobStore
from serve_app.retrieval.jobs.sqlite_jobs import SqliteJobs
from serve_app.retrieval.leases import Leases, LocalLeases
from serve_app.retrieval.manifest import Manifest
from serve_app.retrieval.sqlite_manifest import SqliteManifest


@dataclass(frozen=True, slots=True)
class Storage:
    """What a knowledge base keeps things in."""

    store: Store
    manifest: Manifest
    leases: Leases


def open_storage(config: StoreConfig, home: Path) -> Storage:
    """The storage that a configuration names; disks and servers are reached at the first use.

    Args:
        config: which one, and where.
        home: what a relative path is inside of.

    Raises:
        ConfigError: what it needs is not installed.
    """
    if isinstance(config, LanceDbStoreConfig):
        from serve_app.retrieval.stores.lance.store import LanceDbStore

        folder = home / Path(config.path).expanduser()
        return Storage(
            LanceDbStore(folder / "chunks"), SqliteManifest(folder / "manifest.sqlite"), LocalLeases()
        )
    if isinstance(config, OpenSearchStoreConfig):
        return _opensearch(config)
    if isinstance(config, MilvusStoreConfig):
        try:
            from serve_app.retrieval.stores.milvus.store import MilvusStore
        except ImportError as exc:
            raise ConfigError(f"knowledge.store: milvus needs the extra `milvus`: {exc}") from exc
        manifest = SqliteManifest(home / Path(config.manifest_path).expanduser())
        return Storage(MilvusStore(config, home), manifest, LocalLeases())
    from serve_app.retrieval.stores.memory_store import MemoryStore

    return Storage(MemoryStore(), SqliteManifest(None), LocalLeases())


def open_jobs(config: StoreConfig, home: Path) -> JobStore:
    """Where the jobs of that storage's base are kept: beside it, so that whoever may write it sees them."""
    if isinstance(config, LanceDbStoreConfig):
        return SqliteJobs(home / Path(config.path).expanduser() / "jobs.sqlite")
    if isinstance(config, OpenSearchStoreConfig):
        from serve_app.retrieval.stores.opensearch.client import Client
        from serve_app.retrieval.stores.opensearch.jobs import OpenSearchJobs
        from serve_app.retrieval.stores.opensearch.ledger import Ledger

        return OpenSearchJobs(Ledger(Client(config), config))
    if isinstance(config, MilvusStoreConfig):
        return SqliteJobs((home / Path(config.manifest_path).expanduser()).with_suffix(".jobs.sqlite"))
    return SqliteJobs(None)


def _opensearch(config: OpenSearchStoreConfig) -> Storage:
    from serve_app.retrieval.stores.opensearch.client import Client
    from serve_app.retrieval.stores.opensearch.leases import OpenSearchLeases
    from serve_app.retrieval.stores.opensearch.ledger import Ledger
    from serve_app.retrieval.stores.opensearch.manifest import OpenSearchManifest
    from serve_app.retrieval.stores.opensearch.store import OpenSearchStore

    client = Client(config)
    ledger = Ledger(client, config)
    return Storage(
        OpenSearchStore(config, client), OpenSearchManifest(ledger), OpenSearchLeases(ledger, config.lease_s)
    )
