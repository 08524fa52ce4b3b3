"""A pipeline over scripted dependencies, in virtual time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

import serve_app.messages
from configs.schema import AgentConfig
from serve_app.agent.pipeline import AnswerPipeline
from serve_app.errors import EngineFailed, MantaError
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

T = TypeVar("T")
HANG = "hang"  # a step that never ends


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when nothing else is to be done."""

    def __init__(self) -> None:
        self.now_s = 0.0
        real = selectors.DefaultSelector()
        select = real.select

        def jump(timeout: float | None = None) -> list[Any]:
            assert timeout is not None, "everything waits for something that never comes"
            self.now_s += max(0.0, timeout)
            return select(0)

        real.select = jump  # type: ignore[method-assign]
        super().__init__(real)

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Coroutine[Any, Any, T]]], T]:
    """Runs a coroutine function on a fresh virtual clock; nothing it started may outlive it."""

    def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        loop = VirtualLoop()
        monkeypatch.setattr(serve_app.messages, "time", SimpleNamespace(monotonic=loop.time))
        try:
            result = loop.run_until_complete(main())
            left = asyncio.all_tasks(loop)
            assert not left, f"still running: {left}"
            return result
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    return run


@dataclass
class ScriptedModel:
    """A ModelClient that plays steps: text to send, seconds to wait, an error to raise, HANG, or bytes."""

    steps: list[Any]
    has_usage: bool = True
    num_running: int = 0
    bodies: list[JsonObject] = field(default_factory=list)

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
            for step in self.steps:
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

    async def ask(
        self, question: str | AgentQuestion = QUESTION, *, within_s: float = 60.0
    ) -> list[AgentEvent]:
        asked = AgentQuestion(question) if isinstance(question, str) else question
        context = RequestContext("run-1", "acme", Deadline.after(within_s))
        async with aclosing(self.pipeline.answer(asked, context)) as events:
            return [event async for event in events]

    def num_running(self) -> int:
        return self.knowledge.num_running + sum(model.num_running for model in self.models.values())


@pytest.fixture
def build() -> Callable[..., House]:
    def make(
        models: Mapping[str, list[Any]] | None = None,
        *,
        extractive: tuple[str, ...] = (),
        passages: tuple[Passage, ...] = PASSAGES,
        flags: tuple[str, ...] = (),
        search: list[Any] | None = None,
        **config: Any,
    ) -> House:
        steps = models if models is not None else {"chat": ["It travels ", "with the request [1]."]}
        clients = {name: ScriptedModel(plan) for name, plan in steps.items()}
        cards = {
            name: ModelCard(name, "mock", (Endpoint.CHAT,), is_generative=name not in extractive)
            for name in clients
        }
        knowledge = ScriptedKnowledge(SearchResult(passages, flags), search or [])
        settings = AgentConfig(models=tuple(clients) or ("absent",), **config)
        nonce = "0123456789abcdef"
        return House(
            knowledge,
            clients,
            AnswerPipeline(settings, clients, cards, knowledge, lambda: nonce),  # type: ignore[arg-type]
        )

    return make


BROKEN = EngineFailed("it broke")
