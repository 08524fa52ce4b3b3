"""Runs that wait for a person: kept with the conversations, so that every replica can go on with them.

A run is kept once and decided once: the store's compare-and-set lets one decision through, and then it is
forgotten. Only its token opens it, of which nothing but a hash is kept, and only for the tenant and the user
that asked.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from serve_app.errors import BadRequest, Conflict, Forbidden, NotFound
from serve_app.messages import ApprovalDecision, JsonObject, RequestContext
from serve_app.sessions.base import Session, SessionKey, SessionStore

_TOKEN_BYTES = 32
_DECIDED: JsonObject = {"role": "user", "content": "decided"}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits."""

    run_id: str
    agent: str
    call_ids: tuple[str, ...]  # of the calls that a person decides about
    state: JsonObject  # all that is needed to go on


class Approvals:
    """Keeps runs that wait.

    Args:
        store: of conversations; a run is one of two turns, under a user's name that nobody can have.
        ttl_s: seconds that a run waits.
        now: Unix seconds, which replicas share.
    """

    def __init__(self, store: SessionStore, ttl_s: float, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._ttl_s = ttl_s
        self._now = now

    @property
    def ttl_s(self) -> float:
        return self._ttl_s

    async def keep(self, waiting: Waiting, user_id: str, context: RequestContext) -> str:
        """The token that opens it. Raises as SessionStore.append."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        record = {
            "token_sha256": _hash(token),
            "until_s": self._now() + self._ttl_s,
            "agent": waiting.agent,
            "call_ids": list(waiting.call_ids),
            "state": waiting.state,
        }
        turn = {"role": "system", "content": json.dumps(record)}
        await self._store.append(_key(context.tenant, user_id, waiting.run_id), [turn], Session(), context)
        return token

    async def decide(
        self, agent: str, decision: ApprovalDecision, context: RequestContext
    ) -> tuple[Waiting, dict[str, bool]]:
        """The run, which waits no more, and for each of its calls whether it may be made.

        Raises:
            NotFound, Forbidden, BadRequest, Conflict: as DeclaredAgentClient.resume; besides, as SessionStore.
        """
        key = _key(context.tenant, decision.user_id, decision.run_id)
        session = await self._store.load(key, context)
        if session.version == 0:
            raise NotFound(f"no run {decision.run_id!r} waits for a decision (any more)")
        if session.version > 1:
            raise Conflict(f"the run {decision.run_id!r} is being decided by somebody else")
        record = json.loads(session.turns[0]["content"])
        if record["agent"] != agent:
            raise NotFound(f"no run {decision.run_id!r} of {agent} waits for a decision")
        if not hmac.compare_digest(_hash(decision.token), record["token_sha256"]):
            raise Forbidden("the token is not that of this run")
        if self._now() >= record["until_s"]:
            await self._store.delete(key, context)
            raise NotFound(f"the run {decision.run_id!r} has waited too long and is given up")
        approves = _each(decision.approves, record["call_ids"])
        await self._store.append(key, [_DECIDED], session, context)  # of two, one gets through
        await self._store.delete(key, context)
        return Waiting(decision.run_id, agent, tuple(record["call_ids"]), record["state"]), approves


def _key(tenant: str, user_id: str, run_id: str) -> SessionKey:
    # With a character that no user's name has: nobody sees it among the conversations, nor can write into it.
    return SessionKey(tenant, f"\x1eapprovals\x1e{user_id}", run_id)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _each(approves: bool | Mapping[str, bool], call_ids: list[str]) -> dict[str, bool]:  # noqa: FBT001 (a decision)
    if isinstance(approves, bool):
        return dict.fromkeys(call_ids, approves)
    if set(approves) != set(call_ids):
        raise BadRequest(f"approve decides about each of: {', '.join(call_ids)}", "approve")
    return dict(approves)
