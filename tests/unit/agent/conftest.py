"""A pipeline over scripted dependencies, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from configs.schema import AgentConfig
from serve_app.agent.helper import FixtureHelper
from serve_app.agent.pipeline import AnswerPipeline
from serve_app.agent.run import Run
from serve_app.agent.web_queries import WebUse
from serve_app.errors import EngineFailed, MantaError
from serve_app.evaluation.base import Assessment, Metric, Sample
from serve_app.evaluation.calibration import Calibrations
from serve_app.evaluation.fixture_judge import FixtureJudge
from serve_app.messages import (
    AgentEvent,
    AgentQuestion,
    Deadline,
    Endpoint,
    JsonObject,
    ModelCard,
    Passage,
    RequestContext,
    SearchQuery,
    SearchResult,
)
from serve_app.openai_api.responses import DONE, TextShape, usage
from serve_app.sessions.base import Session, SessionKey
from serve_app.sessions.memory import MemorySessions
from serve_app.websearch.base import WebQuery, WebResult
from serve_app.websearch.fixture import FixtureWeb

HANG = "hang"  # a step that never ends


@dataclass
class ScriptedModel:
    """A ModelClient that plays steps: text to send, seconds to wait, an error to raise, HANG, or bytes."""

    steps: list[Any]  # a list in it is one call's steps: each call has the next one, at the end the last
    has_usage: bool = True
    num_running: int = 0
    bodies: list[JsonObject] = field(default_factory=list)

    def _call(self) -> list[Any]:
        calls = [step for step in self.steps if isinstance(step, list)]
        return calls[min(len(self.bodies), len(calls)) - 1] if calls else self.steps

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        raise NotImplementedError

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        assert endpoint is Endpoint.CHAT
        self.bodies.append(body)
        shape = TextShape("id", body["model"], 0, is_chat=True)
        self.num_running += 1
        try:
            for step in self._call():
                if isinstance(step, str) and step != HANG:
                    yield shape.delta(step)
                elif isinstance(step, bytes):
                    yield step
                else:
                    await play(step)
            yield shape.finish("stop") + (shape.counts(usage(10, 5)) if self.has_usage else b"") + DONE
        finally:
            self.num_running -= 1


@dataclass
class ScriptedKnowledge:
    """A KnowledgeClient whose search plays steps and then gives its result."""

    result: SearchResult
    steps: list[Any] = field(default_factory=list)
    num_running: int = 0
    queries: list[SearchQuery] = field(default_factory=list)

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        self.queries.append(query)
        self.num_running += 1
        try:
            for step in self.steps:
                await play(step)
            return self.result
        finally:
            self.num_running -= 1


@dataclass
class Stepping:
    """Plays steps before each call of a shipped fake."""

    steps: list[Any] = field(default_factory=list)
    num_running: int = 0
    num_calls: int = 0

    async def before(self) -> None:
        self.num_calls += 1
        self.num_running += 1
        try:
            for step in self.steps:
                await play(step)
        finally:
            self.num_running -= 1


class ScriptedWeb(Stepping):
    def __init__(self, pages: Sequence[WebResult], steps: list[Any]) -> None:
        super().__init__(steps)
        self.fake = FixtureWeb(pages)
        self.queries: list[WebQuery] = []

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        self.queries.append(query)
        await self.before()
        return await self.fake.search(query, context)


class ScriptedJudge(Stepping):
    name = "judge"
    evaluator = "fixture"

    def __init__(self, fake: FixtureJudge, steps: list[Any]) -> None:
        super().__init__(steps)
        self.fake = fake
        self.samples: list[Sample] = []
        self.asked: list[tuple[Metric, ...]] = []

    async def assess(self, sample: Sample, metrics: Sequence[Metric], context: RequestContext) -> Assessment:
        self.samples.append(sample)
        self.asked.append(tuple(metrics))
        await self.before()
        return await self.fake.assess(sample, metrics, context)


class ScriptedHelper(Stepping):
    def __init__(self, fake: FixtureHelper, steps: list[Any]) -> None:
        super().__init__(steps)
        self.fake = fake

    async def route(self, question: str, history: Sequence[JsonObject], context: RequestContext) -> Any:
        await self.before()
        return await self.fake.route(question, history, context)

    async def rewrite(self, question: str, history: Sequence[JsonObject], context: RequestContext) -> Any:
        await self.before()
        return await self.fake.rewrite(question, history, context)


class ScriptedSessions(Stepping):
    def __init__(self, steps: list[Any]) -> None:
        super().__init__(steps)
        self.fake = MemorySessions()

    async def load(self, key: SessionKey, context: RequestContext) -> Session:
        await self.before()
        return await self.fake.load(key, context)

    async def append(
        self, key: SessionKey, turns: Sequence[JsonObject], basis: Session, context: RequestContext
    ) -> Session:
        await self.before()
        return await self.fake.append(key, turns, basis, context)


class ScriptedClerk(Stepping):
    """An agent for tasks: text to send, seconds to wait, an error to raise or HANG, then its final event."""

    def __init__(self, steps: list[Any], final: JsonObject | None) -> None:
        super().__init__(steps)
        self.final = final  # what is unusual in it; None: it ends without one

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        self.num_running += 1
        text = ""
        try:
            yield AgentEvent("run.started", {"run_id": "run_1", "agent": "clerk", "model": "clerk"})
            for step in self.steps:
                if isinstance(step, str) and step != HANG:
                    text += step
                    yield AgentEvent("answer.delta", {"text": step})
                else:
                    await play(step)
            if self.final is not None:
                plain: JsonObject = {
                    "outcome": "answered",
                    "citations": [],
                    "flags": [],
                    "notes": [],
                    "usage": {},
                }
                told = plain | {"text": text or "Done.", "model": "clerk", "run_id": "run_1"}
                yield AgentEvent("answer.final", told | self.final)
        finally:
            self.num_running -= 1


async def play(step: Any) -> None:
    if step == HANG:
        await asyncio.get_running_loop().create_future()
    elif isinstance(step, MantaError):
        raise step
    elif isinstance(step, int | float):
        await asyncio.sleep(step)
    else:
        raise AssertionError(f"no step: {step!r}")


def passage(n: int, text: str, cosine: float | None = 0.7, bm25: float | None = 5.0) -> Passage:
    return Passage(
        id=f"p{n}",
        document_id=f"d{n}",
        source="docs",
        path=f"guide-{n}.md",
        title=f"Guide {n}",
        headings=(f"Guide {n}", "Streams"),
        text=text,
        ordinal=0,
        score=1.0 / n,
        cosine=cosine,
        bm25=bm25,
    )


PASSAGES = (
    passage(1, "The deadline travels with the request. No engine works for a caller that is gone."),
    passage(2, "A closed browser frees its slot. Streams are joined every few milliseconds."),
)
QUESTION = "How does the deadline travel with a request?"


@dataclass
class House:
    """A pipeline and what it stands on."""

    knowledge: ScriptedKnowledge
    models: dict[str, ScriptedModel]
    pipeline: AnswerPipeline
    web: ScriptedWeb | None
    judge: ScriptedJudge | None
    helper: ScriptedHelper | None
    sessions: ScriptedSessions | None
    clerk: ScriptedClerk | None
    ended: list[Run]
    generative: frozenset[str]

    async def ask(
        self, question: str | AgentQuestion = QUESTION, *, within_s: float = 60.0
    ) -> list[AgentEvent]:
        asked = AgentQuestion(question) if isinstance(question, str) else question
        context = RequestContext("run-1", "acme", Deadline.after(within_s))
        async with aclosing(self.pipeline.answer(asked, context)) as events:
            return [event async for event in events]

    def num_running(self) -> int:
        optional = (self.web, self.judge, self.helper, self.sessions, self.clerk)
        there = [one for one in optional if one is not None]
        return sum(one.num_running for one in (self.knowledge, *self.models.values(), *there))


@pytest.fixture
def build() -> Callable[..., House]:
    def make(
        models: Mapping[str, list[Any]] | None = None,
        *,
        extractive: tuple[str, ...] = (),
        passages: tuple[Passage, ...] = PASSAGES,
        flags: tuple[str, ...] = (),
        search: list[Any] | None = None,
        pages: Sequence[WebResult] | None = None,
        web_use: WebUse | None = None,
        web_steps: Sequence[Any] = (),
        judge: FixtureJudge | None = None,
        judge_steps: Sequence[Any] = (),
        helper: FixtureHelper | None = None,
        helper_steps: Sequence[Any] = (),
        session_steps: Sequence[Any] | None = None,
        clerk: tuple[Sequence[Any], JsonObject | None] | None = None,
        embedding_id: str | None = None,
        calibrations: Calibrations | None = None,
        **config: Any,
    ) -> House:
        steps = models if models is not None else {"chat": ["It travels ", "with the request [1]."]}
        clients = {name: ScriptedModel(plan) for name, plan in steps.items()}
        cards = {
            name: ModelCard(name, "mock", (Endpoint.CHAT,), is_generative=name not in extractive)
            for name in clients
        }
        found = SearchResult(passages, flags, embedding_id=embedding_id)
        knowledge = ScriptedKnowledge(found, search or [])
        settings = AgentConfig(models=tuple(clients) or ("absent",), **config)
        web = None if pages is None else ScriptedWeb(pages, list(web_steps))
        wise = None if judge is None else ScriptedJudge(judge, list(judge_steps))
        small = None if helper is None else ScriptedHelper(helper, list(helper_steps))
        sessions = None if session_steps is None else ScriptedSessions(list(session_steps))
        tasks = None if clerk is None else ScriptedClerk(list(clerk[0]), clerk[1])
        ended: list[Run] = []
        pipeline = AnswerPipeline(
            settings,
            clients,
            cards,
            knowledge,  # type: ignore[arg-type]
            lambda: "0123456789abcdef",
            calibrations=calibrations or Calibrations(),
            web=web,
            web_use=web_use or WebUse(),
            judge=wise,
            helper=small,
            sessions=sessions,
            task=tasks,
            on_end=ended.append,
        )
        generative = frozenset(clients) - set(extractive)
        return House(knowledge, clients, pipeline, web, wise, small, sessions, tasks, ended, generative)

    return make


BROKEN = EngineFailed("it broke")
