"""An agent whose answers are guarded: its text as it comes, and everything else that it shows at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from serve_app.agent.base import AgentClient
from serve_app.agents.base import DeclaredAgentClient
from serve_app.guards.findings import Findings
from serve_app.guards.outgoing import TextGuard
from serve_app.guards.policy import Policies
from serve_app.guards.scanner import Scanner
from serve_app.messages import AgentEvent, AgentQuestion, ApprovalDecision, JsonObject, RequestContext
from serve_app.streams import close
from serve_app.telemetry.metrics import Count, count_nothing

# An answer that was cut, among its flags; what of the sources it quotes is not told either.
FILTERED = "content_filter"


class GuardedAgent:
    """An AgentClient over another one."""

    def __init__(self, agent: AgentClient, policies: Policies, count: Count = count_nothing) -> None:
        self._agent = agent
        self._policies = policies
        self._count = count

    def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        return self._guarded(self._agent.answer(question, context), context)

    async def _guarded(
        self, events: AsyncIterator[AgentEvent], context: RequestContext
    ) -> AsyncIterator[AgentEvent]:
        rules = self._policies.output(context.tenant)
        run = None if rules.scanner is None else _Run(rules.scanner, Findings("out", self._count))
        try:
            async for event in events:
                for one in (event,) if run is None else run.take(event):
                    yield one
        finally:
            await close(events)


class GuardedDeclaredAgent(GuardedAgent):
    """A DeclaredAgentClient over another one: the rest of a run that was paused is guarded, too."""

    def __init__(self, agent: DeclaredAgentClient, policies: Policies, count: Count = count_nothing) -> None:
        super().__init__(agent, policies, count)
        self._declared = agent

    def resume(self, decision: ApprovalDecision, context: RequestContext) -> AsyncIterator[AgentEvent]:
        return self._guarded(self._declared.resume(decision, context), context)


class _Run:
    """The events of one run."""

    def __init__(self, scanner: Scanner, findings: Findings) -> None:
        self._scanner = scanner
        self._findings = findings
        self._text = TextGuard(scanner, findings)
        self._is_blocked = False
        self._has_deltas = False

    def take(self, event: AgentEvent) -> list[AgentEvent]:
        self._has_deltas |= event.type in ("answer.delta", "answer.revised")
        if event.type == "answer.delta":
            text = self._text.feed(event.data["text"])
            return [AgentEvent(event.type, {**event.data, "text": text})] if text else []
        if event.type == "answer.revised":
            self._text = TextGuard(self._scanner, self._findings)
            return [AgentEvent(event.type, {**event.data, "text": self._text.feed(event.data["text"])})]
        if event.type == "answer.final":
            return [AgentEvent(event.type, self._final(event.data))]
        # Not `approval.required`: a person has to see what they decide about.
        if event.type in ("citation", "rewrite", "web", "tool.started"):
            shown = self._shown(event.data)
            return [] if self._is_blocked else [AgentEvent(event.type, shown)]
        return [event]

    def _final(self, data: JsonObject) -> JsonObject:
        # Counted as it came, where it came in deltas; the whole is looked at once more so that both agree.
        findings = Findings("out", _uncounted) if self._has_deltas else self._findings
        text, is_cut = self._whole(str(data["text"]), findings)
        citations = self._shown(data.get("citations") or [])
        notes = self._shown(data.get("notes") or [])
        if is_cut or self._is_blocked:
            flags = [*(data.get("flags") or ()), FILTERED]
            return {**data, "text": text, "citations": [], "notes": [], "flags": flags, "outcome": "degraded"}
        return {**data, "text": text, "citations": citations, "notes": notes}

    def _shown(self, value: Any) -> Any:
        """The value with all its texts guarded; one that blocks is noted."""
        if isinstance(value, str):
            text, is_cut = self._whole(value, self._findings)
            self._is_blocked |= is_cut
            return text
        if isinstance(value, dict):
            return {name: self._shown(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._shown(one) for one in value]
        return value

    def _whole(self, text: str, findings: Findings) -> tuple[str, bool]:
        guard = TextGuard(self._scanner, findings)
        out = guard.feed(text) + guard.close()
        return out, guard.is_blocked


def _uncounted(*args: object, **labels: object) -> None:
    """For a text that was counted as it came."""
