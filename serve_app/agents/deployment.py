"""A declared agent's deployment: its loop in a replica, over handles to its model, the documents and other agents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ray.serve.handle import DeploymentHandle

from configs.schema import (
    DeclaredAgent,
    SessionsConfig,
    StreamsConfig,
    ToolConfig,
    TracingConfig,
    WebSearchConfig,
    WebTool,
)
from serve_app.agent.events import encode_event
from serve_app.agents.approvals import Approvals
from serve_app.agents.declared import DeclaredAgentRunner
from serve_app.agents.run import AgentRun
from serve_app.agents.tools.registry import open_tools
from serve_app.agents.traced import TracedDeclaredAgent, TracedSource
from serve_app.channel.asked import Asked
from serve_app.channel.joining import AGENT_WAKE_UP_S
from serve_app.handles import AgentHandle, KnowledgeHandle, model_handles
from serve_app.messages import AgentQuestion, ApprovalDecision, ModelCard, RequestContext
from serve_app.replica import Replica, open_inbox, without_items
from serve_app.sessions.agent_sessions import AgentSessions
from serve_app.sessions.open import open_sessions
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.metrics import (
    AGENT_DEGRADED,
    AGENT_DURATION,
    TOOL_DURATION,
    WEB_SEARCH_DURATION,
    count_agent_usage,
)
from serve_app.telemetry.tracing import Tracing
from serve_app.websearch.measured import MeasuredWeb
from serve_app.websearch.registry import open_web


class DeclaredAgentDeployment:
    """One replica of a declared agent."""

    def __init__(
        self,
        config: DeclaredAgent,
        tools: Sequence[ToolConfig],
        models: Mapping[str, DeploymentHandle[Any]],
        cards: Mapping[str, ModelCard],
        knowledge: DeploymentHandle[Any],
        agents: Mapping[str, DeploymentHandle[Any]],
        descriptions: Mapping[str, str],
        streams: StreamsConfig,
        *,
        sessions: SessionsConfig | None,
        home: Path,
        tracing: TracingConfig,
        web_search: WebSearchConfig | None = None,
    ) -> None:
        """`models` holds its own, and the one that writes summaries, if they are served; `agents` and
        `descriptions` those that its tools name."""
        # It loads Strands, which takes a second: now, and not while the first run's loop stands still.
        import serve_app.agents.loop  # noqa: F401

        self._inbox = inbox = open_inbox(streams, wake_up_s=AGENT_WAKE_UP_S)
        self._instruments = Instruments()
        self._tracing = Tracing(tracing, config.name, self._instruments.count)
        tracer = self._tracing.tracer
        clients = model_handles(models, cards, inbox, streams)
        searches = any(isinstance(tool, WebTool) for tool in tools)
        self._web = self._open_web(web_search, home) if web_search is not None and searches else None
        self._sources = open_tools(
            tools,
            KnowledgeHandle(knowledge, inbox),
            {name: AgentHandle(handle, name, inbox) for name, handle in agents.items()},
            descriptions,
            self._web,
        )
        keeps = sessions is not None and config.memory == "session"
        self._sessions = (
            AgentSessions(sessions, home, clients, cards, self._instruments.count)
            if sessions is not None and keeps
            else None
        )
        # A store of its own: what waits is not summarised.
        self._waiting = None if sessions is None else open_sessions(sessions, home)
        runner = DeclaredAgentRunner(
            config,
            clients[config.model],
            self._sources if tracer is None else [TracedSource(one, tracer) for one in self._sources],
            sessions=None if self._sessions is None else self._sessions.store,
            approvals=None if self._waiting is None else Approvals(self._waiting, config.approval_ttl_s),
            on_end=self._count_run,
            on_call=self._count_call,
        )
        self._agent = runner if tracer is None else TracedDeclaredAgent(runner, tracer, config.name)
        self._replica = Replica(config.name, config.scaling, inbox=inbox)

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[bytes]:
        """The answer's events, encoded."""
        async with aclosing(self._replica.stream(context, lambda: self._answer(question, context))) as events:
            async for event in events:
                yield event

    @without_items
    async def answer_by_channel(self, asked: Asked) -> None:
        """The same, sent by the channel."""
        await self._replica.send(asked, self._answer)

    async def resume(self, decision: ApprovalDecision, context: RequestContext) -> AsyncIterator[bytes]:
        """The events of the rest of a run, encoded."""
        async with aclosing(self._replica.stream(context, lambda: self._resume(decision, context))) as events:
            async for event in events:
                yield event

    @without_items
    async def resume_by_channel(self, asked: Asked) -> None:
        """The same, sent by the channel."""
        await self._replica.send(asked, self._resume)

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._replica.autoscaling_stats()

    async def check_health(self) -> None:
        """For Serve, which replaces this replica if it raises: see ReplicaHealth."""
        await self._replica.check_health()

    async def check_ready(self) -> None:
        """Return; what the agent depends on is asked by itself."""

    async def __del__(self) -> None:
        await self._replica.close()
        for source in self._sources:
            await source.close()
        if self._web is not None:
            await self._web.close()
        if self._sessions is not None:
            await self._sessions.close()
        if self._waiting is not None:
            await self._waiting.close()
        if self._inbox is not None:
            self._inbox.close()
        await self._tracing.close()

    # --------

    async def _answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[bytes]:
        async with aclosing(self._agent.answer(question, context)) as events:
            async for event in events:
                yield encode_event(event)

    async def _resume(self, decision: ApprovalDecision, context: RequestContext) -> AsyncIterator[bytes]:
        async with aclosing(self._agent.resume(decision, context)) as events:
            async for event in events:
                yield encode_event(event)

    def _open_web(self, config: WebSearchConfig, home: Path) -> MeasuredWeb:
        provider = config.provider.kind

        def observe(outcome: str, seconds: float) -> None:
            self._instruments.observe(WEB_SEARCH_DURATION, seconds, provider=provider, outcome=outcome)

        return MeasuredWeb(open_web(config, home), observe)

    def _count_run(self, run: AgentRun) -> None:
        """Of every run that ended, also of one whose caller has left."""
        name = run.config.name
        self._instruments.observe(AGENT_DURATION, run.seconds(), agent=name, outcome=str(run.outcome()))
        for flag in run.state.flags:
            self._instruments.count(AGENT_DEGRADED, agent=name, reason=flag)
        count_agent_usage(self._instruments.count, name, run.own_usage)

    def _count_call(self, agent: str, tool: str, status: str, seconds: float) -> None:
        self._instruments.observe(TOOL_DURATION, seconds, agent=agent, tool=tool, status=status)
