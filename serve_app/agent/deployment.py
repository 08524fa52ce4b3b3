"""The agent's deployment: the answer pipeline in a replica, over handles to what it needs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ray.serve.handle import DeploymentHandle

from configs.schema import AgentConfig, SessionsConfig, StreamsConfig, TracingConfig, WebSearchConfig
from serve_app.agent.events import encode_event
from serve_app.agent.helper import ModelHelper
from serve_app.agent.opening import session_key
from serve_app.agent.pipeline import AnswerPipeline
from serve_app.agent.run import Run
from serve_app.agent.web_queries import WebUse
from serve_app.channel.asked import Asked
from serve_app.channel.joining import AGENT_WAKE_UP_S
from serve_app.engines.base import ModelClient
from serve_app.evaluation.base import Judge
from serve_app.evaluation.calibration import calibrations
from serve_app.evaluation.registry import open_judge
from serve_app.handles import AgentHandle, EmbedderHandle, KnowledgeHandle, model_handles
from serve_app.messages import AgentQuestion, ModelCard, RequestContext
from serve_app.replica import Replica, open_inbox, without_items
from serve_app.sessions.agent_sessions import AgentSessions
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.metrics import (
    AGENT_DEGRADED,
    AGENT_DURATION,
    AGENT_LOOPS,
    GATE_VERDICTS,
    SESSIONS_ACTIVE,
    WEB_SEARCH_DURATION,
    count_agent_usage,
)
from serve_app.telemetry.pulse import Reading
from serve_app.telemetry.stages import stage_spans
from serve_app.telemetry.traced import TracedAgent, trace_judge, trace_web
from serve_app.telemetry.tracing import Tracing
from serve_app.websearch.measured import MeasuredWeb
from serve_app.websearch.registry import open_web

logger = logging.getLogger("manta.agent")


def _warn(config: AgentConfig, served: Collection[str]) -> None:
    for name in (config.judge, config.helper):
        if name is not None and name not in served:
            logger.warning("the agent does without %s, which is not served", name)
    if config.judge in config.models:
        logger.warning("%s judges answers of its own", config.judge)


def _judge(
    config: AgentConfig,
    clients: Mapping[str, ModelClient],
    embedder: EmbedderHandle,
    tracing: Tracing,
) -> Judge | None:
    name = config.judge
    if name is None or name not in clients:
        return None
    judge = open_judge(config.evaluator, name, clients[name], embedder)
    logger.info("%s judges answers with the evaluator %s", name, judge.evaluator)
    return trace_judge(judge, tracing.tracer, tracing.scores)


class AgentDeployment:
    """One replica of the agent."""

    def __init__(
        self,
        config: AgentConfig,
        models: Mapping[str, DeploymentHandle[Any]],
        cards: Mapping[str, ModelCard],
        knowledge: DeploymentHandle[Any],
        embedder: DeploymentHandle[Any],
        streams: StreamsConfig,
        *,
        sessions: SessionsConfig | None = None,
        home: Path = Path(),
        web_search: WebSearchConfig | None = None,
        task: DeploymentHandle[Any] | None = None,
        task_description: str | None = None,
        tracing: TracingConfig = TracingConfig(),  # noqa: B008 (frozen)
    ) -> None:
        """`models` and `cards` hold the models of `config.model_names()` that are served, by name; `task` is the
        agent that tasks go to, if it is served."""
        inbox = open_inbox(streams, wake_up_s=AGENT_WAKE_UP_S)
        clients = model_handles(models, cards, inbox, streams)
        _warn(config, clients)
        helper = config.helper
        self._name = config.name
        self._instruments = Instruments()
        self._tracing = Tracing(
            tracing, "Agent", self._instruments.count, sends_scores=config.judge is not None
        )
        tracer = self._tracing.tracer
        self._sessions = (
            None
            if sessions is None
            else AgentSessions(sessions, home, clients, cards, self._instruments.count)
        )
        self._web = None if web_search is None else self._open_web(web_search, home)
        self._judge = _judge(config, clients, EmbedderHandle(embedder, "the embedder", inbox), self._tracing)
        self._pipeline = AnswerPipeline(
            config,
            clients,
            cards,
            KnowledgeHandle(knowledge, inbox),
            calibrations=calibrations(config.gate.calibration),
            web=None if self._web is None else trace_web(self._web, tracer),
            web_use=WebUse.of(web_search),
            judge=self._judge,
            helper=ModelHelper(helper, clients[helper], task_description) if helper in clients else None,
            task=None if task is None else AgentHandle(task, config.task_agent or "", inbox),
            sessions=None if self._sessions is None else self._sessions.store,
            on_end=self._count,
            around=None if tracer is None else stage_spans(tracer),
        )
        self._agent = self._pipeline if tracer is None else TracedAgent(self._pipeline, tracer, config.name)
        self._inbox = inbox
        self._replica = Replica(config.name, config.scaling, inbox=inbox, holds=self._held)

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[bytes]:
        """The answer's events, encoded."""
        async with aclosing(self._replica.stream(context, lambda: self._answer(question, context))) as events:
            async for event in events:
                yield event

    @without_items
    async def answer_by_channel(self, asked: Asked) -> None:
        """The same, sent by the channel."""
        await self._replica.send(asked, self._answer)

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._replica.autoscaling_stats()

    async def _answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[bytes]:
        async with aclosing(self._agent.answer(question, context)) as events:
            async for event in events:
                yield encode_event(event)

    def _count(self, run: Run) -> None:
        """Of every run that ended, also of one whose caller has left."""
        outcome = str(run.outcome())
        self._instruments.observe(AGENT_DURATION, run.seconds(), agent=self._name, outcome=outcome)
        for flag in run.all_flags():
            self._instruments.count(AGENT_DEGRADED, agent=self._name, reason=flag)
        for loop in run.loops:
            self._instruments.count(AGENT_LOOPS, agent=self._name, loop=str(loop))
        self._count_verdicts(run)
        count_agent_usage(self._instruments.count, self._name, run.own_usage())
        if self._sessions is not None and run.session is not None:
            self._sessions.active.see(session_key(run.question, run.context))

    def _count_verdicts(self, run: Run) -> None:
        count, agent = self._instruments.count, self._name
        if run.verdict is not None:
            said = str(run.verdict)
            count(GATE_VERDICTS, agent=agent, stage="context", evaluator="features", verdict=said)
        if self._judge is not None and run.decision is not None:
            said, evaluator = str(run.decision.verdict), self._judge.evaluator
            count(GATE_VERDICTS, agent=agent, stage="answer", evaluator=evaluator, verdict=said)

    def _held(self) -> Iterable[Reading]:
        if self._sessions is not None:
            yield SESSIONS_ACTIVE, self._sessions.active.num()

    def _open_web(self, config: WebSearchConfig, home: Path) -> MeasuredWeb:
        provider = config.provider.kind

        def observe(outcome: str, seconds: float) -> None:
            self._instruments.observe(WEB_SEARCH_DURATION, seconds, provider=provider, outcome=outcome)

        return MeasuredWeb(open_web(config, home), observe)

    async def check_health(self) -> None:
        """For Serve, which replaces this replica if it raises: see ReplicaHealth."""
        await self._replica.check_health()

    async def check_ready(self) -> None:
        """Return; what the agent depends on is asked by itself."""

    async def __del__(self) -> None:
        await self._replica.close()
        await self._tracing.close()
        if self._web is not None:
            await self._web.close()
        if self._sessions is not None:
            await self._sessions.close()
        if self._inbox is not None:
            self._inbox.close()
