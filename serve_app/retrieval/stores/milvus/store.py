"""The store on Milvus: a server, or Milvus Lite in this process.

Each embedding model has a collection of its own, behind an alias; a chunk is in one of them. In a base
that does not move from one model to another that is one collection, and one question. Milvus fuses in
its own way (ties by chance, no legs' scores), so the legs are fused here, as in the embedded store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import pymilvus

from configs.load import ProfileError, secret
from configs.schema import MilvusStoreConfig
from serve_app.errors import ConfigError, DeadlineExceeded, Unavailable
from serve_app.messages import Deadline, Vectors
from serve_app.retrieval.base import Chunk, Filters, Fused, Hit, HybridQuery, OneOf
from serve_app.retrieval.fusion import fuse_legs
from serve_app.retrieval.stores import lexical_text
from serve_app.retrieval.stores.milvus import rows
from serve_app.retrieval.stores.milvus.collection_schema import create
from serve_app.retrieval.stores.milvus.lite import (
    Flushing,
    Merging,
    num_deleted,
    wake,
    without_left_overs,
)
from serve_app.retrieval.stores.milvus.words import analysed

T = TypeVar("T")

logger = logging.getLogger("manta.retrieval")

_NUM_THREADS = 8
_MAX_ROWS = 500  # of one write, and of one answer that is read in pages
_MAX_ANSWER = 16_384  # Milvus' own limit for rows of one answer
_MAX_QUERY_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is compared with what, and what is read of the hits."""

    data: Any
    field: str
    metric: str
    fields: list[str]


class MilvusStore:
    """A Store in Milvus; one process writes it, as its manifest is a file.

    Args:
        config: of the store.
        home: what the path of a Milvus Lite file is inside of.
    """

    fuses = False
    is_frozen = False  # what rebuilds it keeps others out by itself

    def __init__(self, config: MilvusStoreConfig, home: Path) -> None:
        self._config = config
        self._home = home
        self._threads = ThreadPoolExecutor(_NUM_THREADS, "milvus")
        self._client: Any = None
        is_lite = "://" not in config.uri  # a server does these by itself
        self._flushing = Flushing() if is_lite else None
        self._merging = Merging(self._merge) if is_lite else None
        self._spaces: set[str] | None = None  # models' collections that there are; None: not asked yet
        self._opening = asyncio.Lock()
        self._writing = asyncio.Lock()

    async def generation(self) -> str:
        def names(client: Any) -> str:
            return " ".join(sorted(name for name in client.list_collections() if self._is_own(name)))

        return await self._call(names, None, "the collections")

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        by_space: dict[tuple[str, int], list[Chunk]] = {}
        for chunk in {(chunk.tenant, chunk.id): chunk for chunk in chunks}.values():
            by_space.setdefault((chunk.embedding_id, chunk.vector.shape[0]), []).append(chunk)
        async with self._writing:
            for (embedding_id, dim), own in by_space.items():
                name = await self._ensure(embedding_id, dim)
                for start in range(0, len(own), _MAX_ROWS):
                    part = own[start : start + _MAX_ROWS]
                    data = await asyncio.to_thread(_rows_of, part)
                    await self._write("upsert", name, data)
                    await self._wrote(name, len(data))
                # A chunk that moves to another model is in both for a moment, never in none.
                keys = [rows.key(chunk.tenant, chunk.id) for chunk in own]
                await self._delete_keys(await self._known() - {name}, keys)

    async def delete(self, tenant: str, chunk_ids: Sequence[str]) -> None:
        async with self._writing:
            keys = [rows.key(tenant, chunk_id) for chunk_id in dict.fromkeys(chunk_ids)]
            await self._delete_keys(await self._known(), keys)

    async def delete_source(self, tenant: str, source: str) -> None:
        condition = rows.expression(tenant, {"source": OneOf((source,))})
        async with self._writing:
            for name in sorted(await self._known()):
                deleted = await self._write("delete", name, filter=condition)
                await self._wrote(name, num_deleted(deleted))

    async def vectors(
        self, tenant: str, embedding_id: str, chunk_hashes: Sequence[str]
    ) -> dict[str, Vectors]:
        found: dict[str, Vectors] = {}
        prefix = f"{self._config.collection}_{rows.space(embedding_id, 0)[:-1]}"
        for name in (one for one in await self._known() if one.startswith(prefix)):
            for start in range(0, len(chunk_hashes), _MAX_ROWS):
                asked = {rows.text_hash(one): one for one in chunk_hashes[start : start + _MAX_ROWS]}
                condition = f"{rows.expression(tenant, {})} and hash in {rows.listed(asked)}"
                for row in await self._rows(name, condition, ["hash", "vector"]):
                    found[asked[row["hash"]]] = np.array(row["vector"], np.float32)
        return found

    async def search_lexical(
        self,
        tenant: str,
        text: str,
        k: int,
        filters: Filters,
        deadline: Deadline | None = None,
        *,
        reads_vectors: bool = False,
    ) -> list[Hit]:
        words = analysed(lexical_text.of_query(text), _MAX_QUERY_BYTES)
        if not words:
            return []
        condition = rows.expression(tenant, filters)
        fields = rows.WHOLE if reads_vectors else rows.PASSAGE
        found: list[Hit] = []
        for name in sorted(await self._known()):
            asked = _Asked(words, "lexical_weights", "BM25", fields)
            found += await self._search(name, asked, k, condition, deadline)
        return _ordered(hit for hit in found if hit.score > 0)[:k]

    async def search_dense(
        self,
        tenant: str,
        embedding_id: str,
        vector: Vectors,
        k: int,
        filters: Filters,
        deadline: Deadline | None = None,
    ) -> list[Hit]:
        name = self._alias(embedding_id, vector.shape[0])
        if name not in await self._known():
            return []  # nothing was embedded with this model yet
        condition = rows.expression(tenant, filters)
        asked = _Asked(vector.tolist(), "vector", "COSINE", rows.PASSAGE)
        return _ordered(await self._search(name, asked, k, condition, deadline))

    async def search_hybrid(
        self, tenant: str, query: HybridQuery, k: int, filters: Filters, deadline: Deadline | None = None
    ) -> list[Fused]:
        return await fuse_legs(self, tenant, query, k, filters, deadline)

    async def page(self, tenant: str, after: str, limit: int, filters: Filters) -> list[Chunk]:
        condition = rows.expression(tenant, filters)
        found: dict[str, str] = {}  # chunk id -> collection
        for name in await self._known():
            found |= {one: name for one in await self._values(name, "id", condition) if one > after}
        wanted = sorted(found)[:limit]
        chunks: list[Chunk] = []
        for name in set(found.values()):
            keys = [rows.key(tenant, one) for one in wanted if found[one] == name]
            for start in range(0, len(keys), _MAX_ROWS):
                own = f"key in {rows.listed(keys[start : start + _MAX_ROWS])}"
                chunks += [rows.chunk_of(row) for row in await self._rows(name, own, rows.WHOLE)]
        return sorted(chunks, key=lambda chunk: chunk.id)

    async def chunk_ids(self, tenant: str) -> set[str]:
        condition = rows.expression(tenant, {})
        return {one for name in await self._known() for one in await self._values(name, "id", condition)}

    async def count(self, tenant: str) -> int:
        condition = rows.expression(tenant, {})
        total = 0
        for name in await self._known():
            [row] = await self._rows(name, condition, ["count(*)"], limit=None)
            total += int(row["count(*)"])
        return total

    async def optimize(self) -> None:
        async with self._writing:
            for name in sorted(await self._known()):
                if await self._is_empty(name):
                    await self._drop(name)
                else:
                    await self._flush(name)

    async def thaw(self) -> None:
        return

    async def rebuild(self) -> None:
        """Each collection is copied, and the alias moved to the copy; writes wait."""
        async with self._writing:
            for name in sorted(await self._known()):
                await self._make_anew(name)

    async def close(self) -> None:
        if self._merging is not None:
            await self._merging.close()
        if self._client is not None:
            client, self._client = self._client, None
            await asyncio.to_thread(self._release, client)
        self._threads.shutdown(wait=False)

    # ------------------------------------------------------------ collections

    def _alias(self, embedding_id: str, dim: int) -> str:
        return f"{self._config.collection}_{rows.space(embedding_id, dim)}"

    def _is_own(self, name: str) -> bool:
        return bool(re.fullmatch(f"{re.escape(self._config.collection)}_[0-9a-f]{{16}}_[0-9]+_g[0-9]+", name))

    async def _known(self) -> set[str]:
        """Aliases of the models' collections."""
        if self._spaces is None:

            def aliases(client: Any) -> set[str]:
                own = [name for name in client.list_collections() if self._is_own(name)]
                return {alias for name in own for alias in client.list_aliases(name)["aliases"]}

            self._spaces = await self._call(aliases, None, "the collections")
        return set(self._spaces)

    async def _ensure(self, embedding_id: str, dim: int) -> str:
        """The model's collection, made if it is not there. Inside of a write."""
        name = self._alias(embedding_id, dim)
        known = await self._known()
        if name not in known:
            new = f"{name}_g1"
            await self._write("drop_collection", new)  # one that was left half made
            await self._create(new, dim)
            await self._write("create_alias", new, name)
            self._spaces = known | {name}
        return name

    async def _target(self, alias: str) -> str:
        described = await self._call(lambda client: client.describe_alias(alias), None, "an alias")
        return str(described["collection_name"])

    async def _drop(self, alias: str) -> None:
        target = await self._target(alias)
        await self._write("drop_alias", alias)
        await self._write("drop_collection", target)
        self._spaces = await self._known() - {alias}

    async def _is_empty(self, name: str) -> bool:
        return not await self._rows(name, 'key != ""', ["id"], limit=1)

    async def _make_anew(self, name: str) -> None:
        """A copy in the place of the model's collection. Inside of a write."""
        old = await self._target(name)
        number = int(old.rpartition("_g")[2]) + 1
        dim, new = int(name.rpartition("_")[2]), f"{name}_g{number}"
        await self._write("drop_collection", new)
        await self._create(new, dim)
        await self._copy(old, new)
        await self._write("alter_alias", new, name)
        await self._write("drop_collection", old)
        if self._merging is not None:
            self._merging.merged(name)

    async def _merge(self) -> None:
        """Copy the collections of which enough is new. What fails is logged, and due again after the next write."""
        assert self._merging is not None
        with contextlib.suppress(Unavailable):
            async with self._writing:
                for name in sorted(await self._known()):
                    [row] = await self._rows(name, 'key != ""', ["count(*)"], limit=None)
                    if self._merging.is_due(name, int(row["count(*)"])):
                        await self._make_anew(name)

    async def _copy(self, old: str, new: str) -> None:
        keys = await self._values(old, "key", 'key != ""')
        for start in range(0, len(keys), _MAX_ROWS):
            own = f"key in {rows.listed(keys[start : start + _MAX_ROWS])}"
            found = await self._rows(old, own, rows.WHOLE)
            data = await asyncio.to_thread(_rows_of, [rows.chunk_of(row) for row in found])
            await self._write("upsert", new, data)
        if self._flushing is not None:
            await self._flush(new)

    # ------------------------------------------------------------ requests

    async def _search(
        self,
        name: str,
        asked: _Asked,
        k: int,
        condition: str,
        deadline: Deadline | None,
    ) -> list[Hit]:
        params = {"ef": max(k, self._config.hnsw.ef_search)} if asked.metric == "COSINE" else {}

        def search(client: Any) -> list[Hit]:
            [found] = client.search(
                name,
                data=[asked.data],
                anns_field=asked.field,
                filter=condition,
                limit=min(k, _MAX_ANSWER),
                output_fields=asked.fields,
                search_params={"metric_type": asked.metric, "params": params},
                consistency_level="Strong",
                timeout=self._timeout_s(deadline),
            )
            return [Hit(rows.chunk_of(hit["entity"]), _score(hit["distance"], asked.metric)) for hit in found]

        return await self._read(search, deadline, "the search")

    async def _rows(
        self, name: str, condition: str, fields: list[str], limit: int | None = _MAX_ANSWER
    ) -> list[dict[str, Any]]:
        options = {} if limit is None else {"limit": limit}

        def query(client: Any) -> list[dict[str, Any]]:
            found = client.query(
                name,
                filter=condition,
                output_fields=fields,
                consistency_level="Strong",
                timeout=self._timeout_s(None),
                **options,
            )
            return list(found)

        return await self._read(query, None, "a query")

    async def _values(self, name: str, field: str, condition: str, prefix: str = "") -> list[str]:
        """A text field of all rows that the condition holds of, in no order.

        Milvus bounds its answers and gives them no order, so an answer that is full is asked for again in
        sixteen parts, by the next digit of the rows' keys, which are spread evenly.
        """
        within = f'{condition} and key >= "{prefix}" and key < "{prefix}g"'  # g follows the hex digits
        found = await self._rows(name, within, [field])
        if len(found) < _MAX_ANSWER:
            return [row[field] for row in found]
        parts = [
            await self._values(name, field, condition, f"{prefix}{digit}") for digit in "0123456789abcdef"
        ]
        return [value for part in parts for value in part]

    async def _delete_keys(self, names: Iterable[str], keys: Sequence[str]) -> None:
        for name in sorted(names):
            for start in range(0, len(keys), _MAX_ROWS):
                part = list(keys[start : start + _MAX_ROWS])
                await self._write("delete", name, ids=part)
                await self._wrote(name, len(part))

    async def _write(self, method: str, *args: object, **options: object) -> Any:
        """What a method of the client returns, called with the time that a write may take."""

        def write(client: Any) -> Any:
            return getattr(client, method)(*args, timeout=self._config.write_timeout_s, **options)

        return await self._call(write, None, "a write")

    async def _wrote(self, name: str, num_rows: int) -> None:
        """After so many rows were written or deleted, which is done and must not be reported as failed."""
        if self._flushing is not None and self._flushing.is_due(name, num_rows):
            with contextlib.suppress(Unavailable):  # it is logged, and due again at the next write
                await self._flush(name)
        if self._merging is not None:
            self._merging.wrote(name, num_rows)

    async def _flush(self, name: str) -> None:
        def flush(client: Any) -> None:
            with contextlib.nullcontext() if self._flushing is None else self._flushing.flush(name):
                client.flush(name, timeout=self._config.write_timeout_s)

        await self._call(flush, None, "a flush")

    async def _read(self, work: Callable[[Any], T], deadline: Deadline | None, what: str) -> T:
        """The work's result; never in the middle of a flush, if the collections are in this process."""

        def read(client: Any) -> T:
            with contextlib.nullcontext() if self._flushing is None else self._flushing.read():
                return work(client)

        return await self._call(read, deadline, what)

    async def _create(self, name: str, dim: int) -> None:
        await self._call(lambda client: create(client, self._config, name, dim), None, "a new collection")

    def _timeout_s(self, deadline: Deadline | None) -> float:
        limit_s = self._config.request_timeout_s
        return limit_s if deadline is None else deadline.within(limit_s)

    async def _call(self, work: Callable[[Any], T], deadline: Deadline | None, what: str) -> T:
        """The work's result, done in a thread; Milvus' faults become ours."""
        if deadline is not None:
            deadline.check(what)
        async with self._opening:
            loop = asyncio.get_running_loop()
            if self._client is None:
                self._client = await loop.run_in_executor(self._threads, self._connect)
        client = self._client
        try:
            return await loop.run_in_executor(self._threads, work, client)
        except (pymilvus.MilvusException, grpc.RpcError) as exc:
            reason = " ".join(str(exc).split())[:300]
            logger.warning("Milvus: %s: %s", what, reason)
            if deadline is not None and deadline.remaining_s() <= 0:
                raise DeadlineExceeded(f"the request's time was over at: {what}", what) from exc
            raise Unavailable(
                "the knowledge base's Milvus cannot be used; the server's log says why"
            ) from exc

    def _connect(self) -> Any:
        uri = self._uri()
        token = ""
        if self._config.token is not None:
            try:
                token = secret(self._config.token)
            except ProfileError as exc:
                raise ConfigError(f"the token of knowledge.store is missing: {exc}") from exc
        try:
            return self._woken(
                pymilvus.MilvusClient(uri, token=token, timeout=self._config.request_timeout_s)
            )
        except (pymilvus.MilvusException, grpc.RpcError, OSError) as exc:
            logger.warning("Milvus at %s: %s", uri, exc)
            raise Unavailable("the knowledge base's Milvus cannot be reached") from exc

    def _woken(self, client: Any) -> Any:
        if self._flushing is not None:
            own = [name for name in client.list_collections() if self._is_own(name)]
            wake(client, without_left_overs(client, own), self._config.write_timeout_s)
        return client

    def _uri(self) -> str:
        if "://" in self._config.uri:
            return self._config.uri
        path = self._home / Path(self._config.uri).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)

    def _release(self, client: Any) -> None:
        client.close()
        if self._flushing is not None:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self._uri())


def _score(distance: float, metric: str) -> float:
    """Higher is better. Milvus Lite gives BM25 as a distance, below zero; a server as a score, above it."""
    return abs(distance) if metric == "BM25" else distance


def _rows_of(chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    return [rows.row(chunk) for chunk in chunks]


def _ordered(hits: Iterable[Hit]) -> list[Hit]:
    """Best first, each chunk once; equal scores by id, so that the order never depends on chance."""
    once = {hit.chunk.id: hit for hit in hits}
    return sorted(once.values(), key=lambda hit: (-hit.score, hit.chunk.id))
