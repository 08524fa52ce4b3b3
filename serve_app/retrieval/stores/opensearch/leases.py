"""Leases on the server, by compare-and-set: one replica at a time changes a tenant's base.

No clocks are compared: whoever waits measures on its own clock for how long the holder has been silent,
and takes over after `lease_s` of silence. A holder renews three times as often.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from serve_app.errors import MantaError, Unavailable
from serve_app.messages import Deadline
from serve_app.retrieval.identity import digest
from serve_app.retrieval.leases import Lease
from serve_app.retrieval.stores.opensearch.ledger import Ledger, Version

logger = logging.getLogger("manta.retrieval")

_POLL_S = 0.25
_MAX_WAIT_S = 60.0  # of a caller without a deadline


class OpenSearchLeases:
    """Leases in the ledger.

    Args:
        ledger: where they are kept.
        lease_s: seconds of silence after which a holder is taken for dead.
    """

    def __init__(self, ledger: Ledger, lease_s: float) -> None:
        self._ledger = ledger
        self._lease_s = lease_s
        # Says to people who holds it, and is no other process' name.
        self._me = f"{socket.gethostname()}, process {os.getpid()}, {uuid.uuid4().hex[:8]}"

    @asynccontextmanager
    async def hold(self, tenant: str, deadline: Deadline | None) -> AsyncIterator[Lease]:
        key = _key(tenant)
        lease = await self._acquire(key, deadline or Deadline.after(_MAX_WAIT_S))
        renewing = asyncio.create_task(self._renew(key, lease))
        try:
            yield lease
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._release(key, lease)

    async def in_step_at(self, tenant: str) -> str | None:
        found = await self._ledger.get(_key(tenant))
        return None if found is None else found[0]["in_step_at"]

    async def _acquire(self, key: str, deadline: Deadline) -> Lease:
        seen: Version | None = None
        silent_since_s = 0.0
        while True:
            found = await self._ledger.get(key)
            document, version = found if found is not None else ({"holder": "", "in_step_at": None}, None)
            holder = document["holder"]
            if version != seen:
                seen, silent_since_s = version, time.monotonic()
            is_silent = time.monotonic() - silent_since_s >= self._lease_s
            if not holder or holder == self._me or is_silent:
                # Of a holder that died in a change nothing is known: it wrote None before it began.
                if await self._ledger.swap(key, _document(self._me, None), version):
                    return Lease(in_step_at=document["in_step_at"])
                continue
            if deadline.remaining_s() <= _POLL_S:
                raise Unavailable(f"the base is being changed by another replica ({holder})")
            await asyncio.sleep(_POLL_S)

    async def _renew(self, key: str, lease: Lease) -> None:
        """As long as it is held; tells the lease if somebody else has it."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                found = await self._ledger.get(key)
                lease.is_lost = (
                    found is None
                    or found[0]["holder"] != self._me
                    or not await self._ledger.swap(key, _document(self._me, None), found[1])
                )
                if lease.is_lost:
                    logger.warning("the lease of a tenant's base was lost")
                    return
            except MantaError as exc:
                logger.warning("a lease was not renewed: %s", exc)

    async def _release(self, key: str, lease: Lease) -> None:
        try:
            found = await self._ledger.get(key)
            if found is not None and found[0]["holder"] == self._me:
                await self._ledger.swap(key, _document("", lease.in_step_at), found[1])
        except MantaError as exc:
            logger.warning("a lease was not given back, and runs out in %.0f s: %s", self._lease_s, exc)


def _key(tenant: str) -> str:
    return digest("lease", tenant)


def _document(holder: str, in_step_at: str | None) -> dict[str, Any]:
    return {"kind": "lease", "holder": holder, "in_step_at": in_step_at}
