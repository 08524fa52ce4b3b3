"""The conversations of one agent's replica: the store, the summaries under way, and how many go on at the moment."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from configs.schema import SessionsConfig
from serve_app.engines.base import ModelClient
from serve_app.messages import ModelCard
from serve_app.sessions.base import SessionKey, SessionStore
from serve_app.sessions.compaction import CompactedSessions, ModelSummariser
from serve_app.sessions.open import open_sessions
from serve_app.telemetry.metrics import SESSION_SUMMARIES, Count

logger = logging.getLogger("manta.sessions")

ACTIVE_S = 900.0  # since its last turn


class ActiveSessions:
    """Which conversations had a turn lately. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[SessionKey, float] = {}  # the one seen longest ago first

    def see(self, key: SessionKey) -> None:
        self._seen.pop(key, None)
        self._seen[key] = self._clock()

    def num(self) -> int:
        over_s = self._clock() - ACTIVE_S
        while self._seen and next(iter(self._seen.values())) < over_s:
            del self._seen[next(iter(self._seen))]
        return len(self._seen)


class AgentSessions:
    """What an agent's replica has of sessions. Made where a loop runs.

    Args:
        clients: chat models that are served, by name; the summaries' is one of them, or there are none.
    """

    def __init__(
        self,
        config: SessionsConfig,
        folder: Path,
        clients: Mapping[str, ModelClient],
        cards: Mapping[str, ModelCard],
        count: Count,
    ) -> None:
        self.active = ActiveSessions()
        self.store: SessionStore = open_sessions(config, folder)
        self._summarising: asyncio.Task[None] | None = None
        name = config.summary_model
        if name is None:
            return
        if name not in clients or not cards[name].is_generative:
            logger.warning(
                "sessions are not summarised: %s is not served, or writes no text of its own", name
            )
            return
        summariser = ModelSummariser(name, clients[name], config.summary_tokens)
        compacted = CompactedSessions(
            self.store, summariser, config, lambda result: count(SESSION_SUMMARIES, result=result)
        )
        self.store = compacted
        self._summarising = asyncio.create_task(compacted.run())

    async def close(self) -> None:
        if self._summarising is not None:
            self._summarising.cancel()
            with suppress(asyncio.CancelledError):
                await self._summarising
        await self.store.close()
