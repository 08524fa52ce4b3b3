"""Writes of many documents: in batches by count and bytes, with each item's own result looked at.

A bulk request that the server answers with 200 may have failed for some of its items, or for all. What
was refused for want of room (429) is sent again, alone, after a pause; anything else is an error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from configs.schema import OpenSearchStoreConfig
from serve_app.errors import Overloaded, Unavailable
from serve_app.messages import Deadline
from serve_app.retrieval.stores.opensearch.client import Client
from serve_app.retrieval.stores.opensearch.faults import is_block, refusal

_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.2, 10.0


@dataclass(frozen=True, slots=True)
class Action:
    """A document to put or delete, as the lines of a bulk request."""

    lines: bytes  # each with its newline


def put(document_id: str, document: Any, routing: str | None) -> Action:
    head = _head("index", document_id, routing)
    return Action(head + msgspec.json.encode(document) + b"\n")


def delete(document_id: str, routing: str | None) -> Action:
    return Action(_head("delete", document_id, routing))


def batches(actions: Iterable[Action], max_count: int, max_bytes: int) -> Iterator[list[Action]]:
    """The actions in their order; a batch is over `max_bytes` only where one action alone is."""
    batch: list[Action] = []
    num_bytes = 0
    for action in actions:
        if batch and (len(batch) >= max_count or num_bytes + len(action.lines) > max_bytes):
            yield batch
            batch, num_bytes = [], 0
        batch.append(action)
        num_bytes += len(action.lines)
    if batch:
        yield batch


class BulkWriter:
    """Sends batches, one after the other.

    Args:
        client: of the server.
        config: of the store.
        sleep: waits before what was refused is sent again; given in tests.
    """

    def __init__(
        self, client: Client, config: OpenSearchStoreConfig, sleep: Callable[[float], Any] = asyncio.sleep
    ) -> None:
        self._client = client
        self._config = config
        self._sleep = sleep

    async def write(self, index: str, actions: Iterable[Action], *, is_alias: bool = True) -> None:
        """All actions, done when this returns; searches find them after a refresh.

        Args:
            index: where to.
            actions: made as they are sent, so that a large write is never in memory twice.
            is_alias: nothing may make an index of a name that was an alias, without our fields.

        Raises:
            Overloaded: the server had no room for as long as a write may take.
            IndexGone, StorageFull, Unavailable: of the first item at fault; others may be done.
        """
        limits = self._config
        deadline = Deadline(time.monotonic() + limits.write_timeout_s)
        made = batches(actions, limits.bulk_max_chunks, limits.bulk_max_bytes)
        # Documents are made and encoded in a thread: 60 ms for 500 of them, in which others are answered.
        while (batch := await asyncio.to_thread(_next, made)) is not None:
            left: Sequence[Action] = batch
            pause_s = _FIRST_PAUSE_S
            while left := await self._send(index, left, deadline, is_alias=is_alias):
                if deadline.remaining_s() <= pause_s:
                    raise Overloaded(f"the knowledge base's server had no room for {len(left)} chunks", 5.0)
                await self._sleep(pause_s)
                pause_s = min(_MAX_PAUSE_S, 2 * pause_s)

    async def _send(
        self, index: str, batch: Sequence[Action], deadline: Deadline, *, is_alias: bool
    ) -> list[Action]:
        """Those of a batch that the server had no room for."""
        answer = await self._client.request(
            "POST",
            f"/{index}/_bulk",
            b"".join(action.lines for action in batch),
            params={"require_alias": "true"} if is_alias else None,
            what="a write",
            deadline=deadline,
            limit_s=self._config.write_timeout_s,
        )
        items = answer["items"]
        if len(items) != len(batch):
            raise Unavailable(f"the server answered for {len(items)} of {len(batch)} chunks")
        again: list[Action] = []
        for action, item in zip(batch, items, strict=True):
            [result] = item.values()
            error = result.get("error")
            if error is None:
                continue
            if result["status"] == 429 and not is_block(error):
                again.append(action)
            else:
                raise refusal(result["status"], error, "a write")
        return again


def _next(made: Iterator[list[Action]]) -> list[Action] | None:
    return next(made, None)


def _head(verb: str, document_id: str, routing: str | None) -> bytes:
    target = {"_id": document_id} | ({"routing": routing} if routing is not None else {})
    return msgspec.json.encode({verb: target}) + b"\n"
