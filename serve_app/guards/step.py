"""The guards as a step before the models. Agents' answers are guarded where they are made (`agent`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import replace

from serve_app.front.base import Ask, Source
from serve_app.guards.findings import GUARD, Findings
from serve_app.guards.incoming import guarded
from serve_app.guards.outgoing import OutgoingStream, guarded_document
from serve_app.guards.policy import Policies
from serve_app.messages import JsonObject, RequestContext
from serve_app.telemetry.metrics import Count, count_nothing


class Guards:
    """A Step.

    Args:
        agents: whose answers are not looked at here.
    """

    def __init__(
        self,
        policies: Policies,
        injection_at: float,
        agents: Collection[str] = (),
        count: Count = count_nothing,
    ) -> None:
        self._policies = policies
        self._injection_at = injection_at
        self._agents = frozenset(agents)
        self._count = count

    def concerns(self, ask: Ask) -> bool:
        tenant = ask.context.tenant
        return self._policies.input(tenant).is_on or self._policies.output(tenant).is_on

    async def frames(self, ask: Ask, inner: Source) -> AsyncGenerator[bytes]:
        """The answer as the client may have it.

        Raises:
            ContentRefused: the request holds something that blocks.
            Unavailable: a guard broke, and its policy blocks.
        """
        rules, goes_out = self._policies.output(ask.context.tenant), Findings("out", self._count)
        body = await self.let_in(ask.body, ask.context, ask.told)
        told = ask.told.get(GUARD)
        if body is not ask.body:
            ask = replace(ask, body=body)
        is_open = not rules.is_on or ask.name in self._agents
        async with aclosing(inner(ask)) as answer:
            if is_open:
                async for frame in answer:
                    yield frame
            elif ask.is_stream:
                stream = OutgoingStream(rules, goes_out)
                async for frame in answer:
                    if out := stream.take(frame):
                        yield out
                    if stream.is_over:  # with `[DONE]`, also where something blocks
                        return
            else:
                async for frame in answer:
                    document = guarded_document(frame, rules, goes_out)
                    if goes_out.counts:
                        ask.told[GUARD] = ", ".join(filter(None, (told, goes_out.told())))
                    yield document

    async def let_in(
        self, body: JsonObject, context: RequestContext, told: dict[str, str], *, is_followed: bool = True
    ) -> JsonObject:
        """An InputGuard."""
        findings, rules = Findings("in", self._count), self._policies.input(context.tenant)
        if not is_followed:
            rules = replace(rules, injection=None)
        if not rules.is_on:
            return body
        body = await guarded(body, rules, self._injection_at, findings)
        if findings.counts:
            told[GUARD] = findings.told()
        return body
