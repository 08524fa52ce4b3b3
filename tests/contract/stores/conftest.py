"""Every store there is, the one that ships as a fake included, new and empty for each test."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from configs.schema import (
    LanceDbStoreConfig,
    MemoryStoreConfig,
    MilvusStoreConfig,
    OpenSearchStoreConfig,
    StoreConfig,
)
from serve_app.errors import MantaError
from serve_app.retrieval.base import Store
from serve_app.retrieval.stores.open import open_storage

# Those in the process, and those that are asked over a socket: fewer examples are enough there.
NEAR = ("memory", "lancedb")
FAR = ("opensearch", "milvus")
KINDS = (*NEAR, *FAR)
# Other ways to set up the same store, for what they may change.
VARIANTS = ("opensearch-routed", "opensearch-client-fusion")


def configured(kind: str, url: str) -> StoreConfig:
    index = f"contract-{uuid.uuid4().hex[:12]}"
    if kind == "memory":
        return MemoryStoreConfig(kind="memory")
    if kind == "lancedb":
        return LanceDbStoreConfig(kind="lancedb")
    if kind == "milvus":
        return MilvusStoreConfig(kind="milvus", num_partitions=4)
    routed = {"route_by_tenant": True, "num_shards": 3} if kind == "opensearch-routed" else {}
    fusion = {"hybrid": "client"} if kind == "opensearch-client-fusion" else {}
    return OpenSearchStoreConfig.model_validate(
        {"kind": "opensearch", "url": url, "index": index, "bulk_max_chunks": 40, "request_timeout_s": 120}
        | routed
        | fusion
    )


class Opened:
    """A new store, empty, and afterwards nothing of it."""

    def __init__(self, kind: str, request: pytest.FixtureRequest, folder: Path) -> None:
        if kind == "milvus":
            pytest.importorskip("milvus_lite", reason="no Milvus: the extra `milvus` is not installed")
        self._url = request.getfixturevalue("opensearch_url") if kind.startswith("opensearch") else ""
        self._config = configured(kind, self._url)
        self._folder = folder

    async def __aenter__(self) -> Store:
        self.store = open_storage(self._config, self._folder).store
        return self.store

    async def __aexit__(self, *exc: object) -> None:
        if isinstance(self._config, OpenSearchStoreConfig):
            client: Any = self.store._client  # type: ignore[attr-defined]
            for path in (f"/{self._config.index}-*", f"/_index_template/{self._config.index}"):
                with contextlib.suppress(MantaError):
                    await client.request("DELETE", path, what="cleaning up")
        await self.store.close()


def marked(kinds: tuple[str, ...]) -> list[Any]:
    """Parameters; those that need a server can be left out by their mark."""
    services = {kind: [pytest.mark.services] for kind in kinds if kind.startswith("opensearch")}
    return [pytest.param(kind, marks=services.get(kind, [])) for kind in kinds]


@pytest.fixture(params=marked(KINDS))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with Opened(request.param, request, tmp_path) as opened:
        yield opened


@pytest.fixture(params=marked((*KINDS, *VARIANTS)))
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with Opened(request.param, request, tmp_path) as opened:
        yield opened


@pytest.fixture(params=marked((*KINDS, *VARIANTS)))
def any_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def open_anew(
    any_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Opened]:
    """Opens another empty store of a kind, as often as a property has examples."""
    return lambda: Opened(any_kind, request, tmp_path_factory.mktemp("store"))


@pytest.fixture
def num_examples(any_kind: str) -> int:
    """A store that is asked over a socket is opened anew for each, so few do."""
    return 60 if any_kind in NEAR else 4
