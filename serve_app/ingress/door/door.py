"""The front door: each request is known before it is read, within its limits before it is served, and settled and
written down when its answer is over.

Knows nothing of where keys, counts or lines are kept. Where nothing is configured there is no door at all.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from configs.schema import DoorConfig, IngressConfig
from serve_app.audit.entry import AuditEntry
from serve_app.audit.log import AuditLog
from serve_app.errors import Forbidden, MantaError
from serve_app.identity.authenticator import Authenticator
from serve_app.identity.base import Principal, Role
from serve_app.identity.credentials import Credentials, read_credentials, refuse_in_url
from serve_app.ingress.door.visit import Visit
from serve_app.ingress.requests.context import TENANT, read_context
from serve_app.limits.base import NANO_PER_USD, Claim, Settlement, UsageRow
from serve_app.limits.checks import CheckBook
from serve_app.limits.headers import limit_headers, refusal
from serve_app.limits.limiter import Limiter
from serve_app.limits.meter import Meter
from serve_app.limits.prices import Prices
from serve_app.limits.tally import Tally
from serve_app.messages import JsonObject, RequestContext
from serve_app.openai_api.estimate import answer_tokens, prompt_tokens

# Whoever asks these is not asked back: load balancers, probes, and readers of the API's page.
PUBLIC = frozenset({"/", "/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
_ROLES = {
    "/metrics": Role.OPERATOR,
    # What every tenant is served.
    "/v1/load_lora_adapter": Role.OPERATOR,
    "/v1/unload_lora_adapter": Role.OPERATOR,
}
# The last words of paths whose answers are no text of a model.
_WRITE_NOTHING = frozenset(
    {"embeddings", "rerank", "score", "classify", "pooling", "tokenize", "detokenize", "search"}
)
_VISIT_KEY = "manta.visit"
_LEASE_MARGIN_S = 5.0  # for an answer's last frame, after its deadline


class Door:
    """The rules of one replica.

    Args:
        limiter: None: nothing is counted.
        audit: None: nothing is written down.
        names: of all models, agents and embedders; others are counted as none, so that made-up names cost nothing.
        agent_name: whom a request asks that names nobody.
        background: what has to run all the time, and what ends it.
        base_of: an adapter's model, which it is counted as; None: there is no such adapter.
        members: a group -> the models that may answer for it: money is reserved for the dearest of them.
        tally: tells as metrics what is counted; None: nobody is told.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        config: DoorConfig,
        authenticator: Authenticator,
        limiter: Limiter | None,
        audit: AuditLog | None,
        *,
        names: Collection[str],
        agent_name: str,
        background: Collection[Callable[[], Coroutine[Any, Any, None]]] = (),
        closing: Collection[Callable[[], Coroutine[Any, Any, None]]] = (),
        base_of: Callable[[str], str | None] = lambda _: None,
        members: Mapping[str, Collection[str]] | None = None,
        tally: Tally | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_of = base_of
        self._members = members or {}
        self._tally = tally
        self._config = config
        self._authenticator = authenticator
        self._limiter = limiter
        self._audit = audit
        self._names = frozenset(names)
        self._agent_name = agent_name
        self._background = background
        self._closing = closing
        self._clock = clock
        self._checks = CheckBook(config)
        # tenant -> its share of engines that are full; None: nobody has one
        weights = {tenant.name: tenant.weight for tenant in config.tenants}
        self._weights = weights if config.fair_shares else None
        self._prices = Prices(config.prices)
        # Not the request's id, which clients choose: equal ones would share a lease.
        self._lease_prefix = uuid.uuid4().hex
        self._lease_numbers = itertools.count()

    @property
    def authenticates(self) -> bool:
        return self._config.authentication.is_on

    @property
    def limiter(self) -> Limiter | None:
        return self._limiter

    async def run(self) -> None:
        """What has to go on while the door is open, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())  # a door may have nothing to keep up to date
            for work in self._background:
                group.create_task(work())

    async def close(self) -> None:
        """Write and send what waits. Closing twice is fine."""
        closing, self._closing = self._closing, ()
        for end in closing:
            await end()

    def visit(self) -> Visit:
        return Visit(self._clock())

    async def enter(self, visit: Visit, scope: Scope) -> None:
        """Know who asks, and whether they may.

        Raises:
            Unauthenticated, Forbidden, BadRequest, Unavailable: the request goes no further.
        """
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        inner = path.removeprefix(root) if root else path
        if inner in PUBLIC:
            visit.is_public = True
            return
        scope[_VISIT_KEY] = visit
        try:
            shown = Credentials()  # of which nobody wants any where everybody is let in
            if self._config.authentication.is_on:
                visit.path = "(not written: it holds credentials)"
                refuse_in_url(path, scope.get("query_string", b""))
                visit.path = None
                shown = read_credentials(scope["headers"])
            principal = await self._authenticator.principal(shown)
            visit.principal = principal
            visit.tenant = principal.tenant
            if principal.role < _ROLES.get(inner, Role.USER):
                raise Forbidden(f"{inner} needs the role {_ROLES[inner].name.lower()}")
        except MantaError as exc:
            visit.verdict = _code(exc)
            raise

    def context(self, scope: Scope, headers: Headers, own_id: str, config: IngressConfig) -> RequestContext:
        """As `read_context`, with the tenant of whoever asks.

        Raises:
            BadRequest: a header that cannot be understood.
            Forbidden: it names a tenant that is not theirs.
        """
        visit = visit_of(scope)
        assert visit.principal is not None
        try:
            context = read_context(headers, own_id, config, tenant=_tenant(visit.principal, headers))
        except MantaError as exc:
            visit.verdict = _code(exc)
            raise
        if self._weights is not None:
            context = replace(context, weight=self._weights.get(context.tenant, 1.0))
        visit.tenant = context.tenant
        visit.trace_id = context.traceparent.split("-")[1] if context.traceparent else None
        return context

    async def admit(self, scope: Scope, context: RequestContext, body: JsonObject) -> None:
        """Reserve what the request will take.

        Raises:
            LimitReached: there is not so much left.
            Unavailable: what is left cannot be known.
        """
        if self._limiter is None:
            return
        visit = visit_of(scope)
        visit.model = self._model(scope, body)
        claim = self._claim(visit, scope, context, body)
        try:
            decision = visit.decision = await self._limiter.acquire(claim)
            visit.headers = limit_headers(decision)
            if self._tally is not None and not decision.is_local:
                self._tally.seen(decision.standings)
            if decision.refused_by is not None:
                if self._tally is not None:
                    self._tally.refused(visit.tenant or "", visit.model, decision.refused_by)
                raise refusal(decision.refused_by, decision.retry_after_s)
        except MantaError as exc:
            visit.verdict = _code(exc)
            raise
        visit.claim = claim
        if visit.model is not None:
            visit.meter = Meter()

    def leave(self, visit: Visit) -> None:
        """The answer is over, however it ended."""
        if visit.is_public:
            return
        num_prompt, num_answer, nano_usd = self._used(visit)
        if visit.claim is not None and self._limiter is not None:
            assert visit.principal is not None
            usage = UsageRow(
                "",
                visit.tenant or "",
                visit.principal.id,
                visit.model or "",
                1,
                num_prompt,
                num_answer,
                nano_usd,
            )
            is_local = visit.decision is not None and visit.decision.is_local
            self._limiter.finish(Settlement(visit.claim, usage), is_local=is_local)
            if self._tally is not None:
                self._tally.used(usage)

    def write_down(self, visit: Visit, scope: Scope, own_id: str) -> None:
        """One line about it, if there is an audit log."""
        if self._audit is None or visit.is_public:
            return
        who = visit.principal
        num_prompt, num_answer, nano_usd = self._used(visit)
        is_metered = visit.meter is not None
        usd = nano_usd / NANO_PER_USD if is_metered else None
        flags = []
        if visit.decision is not None and visit.decision.is_local:
            flags.append("local_limits")
        if not visit.is_whole:
            flags.append("broken")
        self._audit.add(
            AuditEntry(
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
                action="request",
                verdict=visit.verdict,
                who=None if who is None else who.id,
                kind=None if who is None else who.kind,
                tenant=visit.tenant,
                role=None if who is None else who.role.name.lower(),
                method=scope["method"],
                path=visit.path or scope["path"],
                model=visit.model,
                status=visit.status,
                request_id=own_id,
                trace_id=visit.trace_id,
                num_prompt_tokens=num_prompt if is_metered else None,
                num_answer_tokens=num_answer if is_metered else None,
                usd=usd,
                duration_s=round(self._clock() - visit.began_s, 4),
                flags=tuple(flags) or None,
            )
        )

    def _used(self, visit: Visit) -> tuple[int, int, int]:
        """(prompt tokens, answer tokens, nano-dollars), with what was made for it and thrown away."""
        num_prompt, num_answer = visit.used_tokens()
        nano_usd = self._prices.nano_usd(visit.priced_model, num_prompt, num_answer)
        for model, prompt, answer in visit.served.discarded if visit.served is not None else ():
            nano_usd += self._prices.nano_usd(model, prompt, answer)
            num_prompt, num_answer = num_prompt + prompt, num_answer + answer
        return num_prompt, num_answer, nano_usd

    def _claim(self, visit: Visit, scope: Scope, context: RequestContext, body: JsonObject) -> Claim:
        who = visit.principal
        assert who is not None
        is_known = who.kind in ("key", "token")
        checks = self._checks.checks(
            who.id if is_known else None, who.limits if is_known else None, context.tenant, visit.model
        )
        num_answer = 0
        if visit.model is not None:
            visit.num_prompt_estimate = prompt_tokens(body)
            if scope["path"].rpartition("/")[2] not in _WRITE_NOTHING:
                num_answer = answer_tokens(body, self._config.default_answer_tokens)
        return Claim(
            lease_id=f"{self._lease_prefix}-{next(self._lease_numbers)}",
            lease_s=max(0.0, context.deadline.remaining_s()) + _LEASE_MARGIN_S,
            checks=checks,
            num_tokens=visit.num_prompt_estimate + num_answer,
            nano_usd=self._most_nano_usd(visit.model, visit.num_prompt_estimate, num_answer),
        )

    def _most_nano_usd(self, model: str | None, num_prompt: int, num_answer: int) -> int:
        """Of a group what its dearest member takes, or what is set for its own name."""
        names = (model, *self._members.get(model or "", ()))
        return max(self._prices.nano_usd(name, num_prompt, num_answer) for name in names)

    def _model(self, scope: Scope, body: JsonObject) -> str | None:
        named = body.get("model", body.get("agent"))
        if named is None and scope["path"].endswith("/v1/agent/answers"):
            named = self._agent_name
        if not isinstance(named, str):
            return None
        return named if named in self._names else self._base_of(named)


def visit_of(scope: Scope) -> Visit:
    visit: Visit = scope[_VISIT_KEY]
    return visit


def visit_if_any(scope: Scope) -> Visit | None:
    """None: there is no door."""
    return scope.get(_VISIT_KEY)


def _tenant(who: Principal, headers: Headers) -> str | None:
    """Whom they speak for; None: whomever the header says, as one that anybody may set."""
    if TENANT not in headers:
        return who.tenant
    if who.may_choose_tenant:
        return None
    if any(given != who.tenant for given in headers.getlist(TENANT)):
        raise Forbidden(f"the header {TENANT} names another tenant than that of who asks")
    return who.tenant


def _code(error: MantaError) -> str:
    return error.code or error.type
