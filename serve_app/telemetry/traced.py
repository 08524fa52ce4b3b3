"""The parts of the application as they are when they are traced: each a wrapper of the same protocol.

`trace_X(part, tracer)` gives the part itself where tracing is off, so that off costs nothing. Names and attributes are
OpenTelemetry's GenAI semantic conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/, 1.41, read 2026-11);
what they have no name for is `manta.*`. Only spans of models carry token counts: what is above them would repeat them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from serve_app.agent.base import AgentClient
from serve_app.engines.base import EmbeddingEngine, ModelEngine
from serve_app.engines.rerank.base import RerankEngine
from serve_app.evaluation.base import Assessment, Judge, Metric, Sample
from serve_app.messages import (
    AgentEvent,
    AgentQuestion,
    Embeddings,
    Endpoint,
    JsonObject,
    ModelCard,
    RequestContext,
    Scores,
    SearchQuery,
    SearchResult,
)
from serve_app.streams import close
from serve_app.telemetry.scores import LangfuseScores
from serve_app.telemetry.spans import Attributes, Span, Tracer, Value, spanning
from serve_app.telemetry.spoken import Spoken, input_messages
from serve_app.websearch.base import WebQuery, WebResult, WebSearch

_OPERATIONS = {
    Endpoint.CHAT: "chat",
    Endpoint.COMPLETIONS: "text_completion",
    Endpoint.EMBEDDINGS: "embeddings",
}
# Field of the request -> attribute.
_SAMPLING = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}
PROVIDER = "manta"


class Searches(Protocol):
    """The part of a KnowledgeClient that a question goes through; ingestion is traced by nobody."""

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult: ...


def trace_model(engine: ModelEngine, tracer: Tracer | None) -> ModelEngine:
    return engine if tracer is None else TracedModel(engine, tracer)


def trace_embedder(engine: EmbeddingEngine, tracer: Tracer | None) -> EmbeddingEngine:
    return engine if tracer is None else TracedEmbedder(engine, tracer)


def trace_reranker(engine: RerankEngine, tracer: Tracer | None) -> RerankEngine:
    return engine if tracer is None else TracedReranker(engine, tracer)


def trace_search(knowledge: Searches, tracer: Tracer | None) -> Searches:
    return knowledge if tracer is None else TracedSearch(knowledge, tracer)


def trace_web(web: WebSearch, tracer: Tracer | None) -> WebSearch:
    return web if tracer is None else TracedWeb(web, tracer)


def trace_judge(judge: Judge, tracer: Tracer | None, scores: LangfuseScores | None = None) -> Judge:
    return judge if tracer is None else TracedJudge(judge, tracer, scores)


class TracedModel:
    """A ModelEngine: a span for each answer."""

    def __init__(self, engine: ModelEngine, tracer: Tracer) -> None:
        self._engine = engine
        self._tracer = tracer

    def card(self) -> ModelCard:
        return self._engine.card()

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        with spanning(self._tracer, *self._named(endpoint, context), self._asked(endpoint, body)) as (
            span,
            own,
        ):
            document = await self._engine.respond(endpoint, body, own)
            if span.is_recorded:
                self._tell(span, body, Spoken.of_document(document))
        return document

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        asked = self._asked(endpoint, body) | {"gen_ai.request.stream": True}
        with spanning(self._tracer, *self._named(endpoint, context), asked) as (span, own):
            frames = self._engine.stream(endpoint, body, own)
            spoken = Spoken(keeps_text=self._tracer.captures_content)
            began_s = first_s = time.perf_counter()
            try:
                async for frame in frames:
                    if span.is_recorded:
                        if spoken.num_frames == 0:
                            first_s = time.perf_counter()
                        spoken.see(frame)
                    yield frame
            except GeneratorExit:  # readers leave at [DONE]; before it they gave up
                if not spoken.is_over:
                    raise
            finally:
                await close(frames)
                if spoken.num_frames:
                    span.set({"gen_ai.response.time_to_first_chunk": first_s - began_s})
                    self._tell(span, body, spoken)

    async def check_health(self) -> None:
        await self._engine.check_health()

    async def close(self) -> None:
        await self._engine.close()

    def _named(self, endpoint: Endpoint, context: RequestContext) -> tuple[str, RequestContext]:
        return f"{_operation(endpoint)} {self._engine.card().name}", context

    def _asked(self, endpoint: Endpoint, body: JsonObject) -> dict[str, Value]:
        card = self._engine.card()
        told: dict[str, Value] = {
            "gen_ai.operation.name": _operation(endpoint),
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": card.name,
            "manta.engine": card.engine,
        }
        for field, attribute in _SAMPLING.items():
            given = body.get(field)
            if isinstance(given, int | float) and not isinstance(given, bool):
                told[attribute] = given
        return told

    def _tell(self, span: Span, body: JsonObject, spoken: Spoken) -> None:
        span.set(spoken.attributes())
        if self._tracer.captures_content:
            span.set({"gen_ai.input.messages": input_messages(body)})
            span.set({"gen_ai.output.messages": spoken.output_messages()})


class TracedEmbedder(TracedModel):
    """An EmbeddingEngine: a span for each call for vectors."""

    def __init__(self, engine: EmbeddingEngine, tracer: Tracer) -> None:
        super().__init__(engine, tracer)
        self._embedder = engine

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        asked = self._asked(Endpoint.EMBEDDINGS, {}) | {"manta.num_texts": len(texts)}
        with spanning(self._tracer, *self._named(Endpoint.EMBEDDINGS, context), asked) as (span, own):
            found = await self._embedder.embed(texts, own, is_query=is_query, truncate=truncate)
            span.set(
                {
                    "gen_ai.usage.input_tokens": sum(found.num_tokens),
                    "gen_ai.embeddings.dimension.count": int(found.vectors.shape[1]),
                    "manta.num_truncated": found.num_truncated,
                }
            )
        return found

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        return await self._embedder.count_tokens(texts, context)

    async def describe(self) -> ModelCard:
        return await self._embedder.describe()


class TracedReranker(TracedModel):
    """A RerankEngine: a span for each question with its passages. The conventions have no name for it yet."""

    def __init__(self, engine: RerankEngine, tracer: Tracer) -> None:
        super().__init__(engine, tracer)
        self._reranker = engine

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        asked = self._asked(Endpoint.RERANK, {}) | {"manta.num_texts": len(passages)}
        with spanning(self._tracer, *self._named(Endpoint.RERANK, context), asked) as (span, own):
            scores = await self._reranker.rerank(query, passages, own)
            span.set({"manta.num_truncated": scores.num_truncated})
            if scores.num_tokens:  # 0: a service that does not count
                span.set({"gen_ai.usage.input_tokens": scores.num_tokens})
        return scores


class TracedSearch:
    """A knowledge base's searches: a span for each."""

    def __init__(self, knowledge: Searches, tracer: Tracer) -> None:
        self._knowledge = knowledge
        self._tracer = tracer

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        asked: Attributes = {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": "knowledge",
            "manta.retrieval.mode": str(query.mode),
            "manta.retrieval.k": query.k,
        }
        with spanning(self._tracer, "retrieval knowledge", context, asked) as (span, own):
            if self._tracer.captures_content:
                span.set({"gen_ai.retrieval.query.text": query.text})
            result = await self._knowledge.search(query, own)
            if span.is_recorded:
                span.set(_found(result))
        return result


class TracedWeb:
    """A WebSearch: a span for each search."""

    def __init__(self, web: WebSearch, tracer: Tracer) -> None:
        self._web = web
        self._tracer = tracer

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        asked = tool_attributes("web_search") | {"manta.web.topic": str(query.topic)}
        with spanning(self._tracer, "execute_tool web_search", context, asked) as (span, own):
            if self._tracer.captures_content:
                span.set({"gen_ai.tool.call.arguments": query.text})
            pages = await self._web.search(query, own)
            span.set({"manta.num_results": len(pages)})
        return pages


class TracedJudge:
    """A Judge: a span for each assessment, its scores as events, and to Langfuse."""

    def __init__(self, judge: Judge, tracer: Tracer, scores: LangfuseScores | None) -> None:
        self._judge = judge
        self._tracer = tracer
        self._scores = scores

    @property
    def name(self) -> str:
        return self._judge.name

    @property
    def evaluator(self) -> str:
        return self._judge.evaluator

    async def assess(self, sample: Sample, metrics: Sequence[Metric], context: RequestContext) -> Assessment:
        asked: Attributes = {
            "manta.judge": self.name,
            "manta.evaluator": self.evaluator,
            "manta.metrics": [str(metric) for metric in metrics],
        }
        with spanning(self._tracer, f"evaluate {self.name}", context, asked) as (span, own):
            assessment = await self._judge.assess(sample, metrics, own)
            for metric in assessment.scores:
                value = assessment.value(metric)
                if value is not None:
                    told: Attributes = {
                        "gen_ai.evaluation.name": str(metric),
                        "gen_ai.evaluation.score.value": value,
                    }
                    span.event("gen_ai.evaluation.result", told)
        if self._scores is not None:
            self._scores.offer(span.traceparent, assessment)
        return assessment


class TracedAgent:
    """An AgentClient: a span for each run."""

    def __init__(self, agent: AgentClient, tracer: Tracer, name: str) -> None:
        self._agent = agent
        self._tracer = tracer
        self._name = name

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncGenerator[AgentEvent]:
        asked: dict[str, Value] = {"manta.tenant": context.tenant}
        if question.session_id is not None:
            asked["gen_ai.conversation.id"] = question.session_id
        if self._tracer.captures_content:
            said: JsonObject = {"messages": [{"role": "user", "content": question.question}]}
            asked["gen_ai.input.messages"] = input_messages(said)
        run = self.run(lambda own: self._agent.answer(question, own), context, asked)
        async with aclosing(run) as events:
            async for event in events:
                yield event

    async def run(
        self,
        make: Callable[[RequestContext], AsyncIterator[AgentEvent]],
        context: RequestContext,
        attributes: Attributes,
    ) -> AsyncGenerator[AgentEvent]:
        """The events of a run, as a span with these attributes besides those that every run has."""
        told: dict[str, Value] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.agent.name": self._name,
            **attributes,
        }
        final: AgentEvent | None = None
        with spanning(self._tracer, f"invoke_agent {self._name}", context, told) as (span, own):
            events = make(own)
            try:
                async for event in events:
                    if event.type == "answer.final":
                        final = event
                        self._tell(span, event.data)
                    else:
                        yield event
            finally:
                await close(events)
        # After the span: readers leave with this event, and that is no cancellation.
        if final is not None:
            yield final

    def _tell(self, span: Span, final: Mapping[str, Any]) -> None:
        span.set({"manta.outcome": final["outcome"], "manta.flags": list(final["flags"])})
        if self._tracer.captures_content:
            span.set({"gen_ai.output.messages": Spoken.of_text(final["text"]).output_messages()})


def tool_attributes(name: str, kind: str = "function") -> dict[str, Value]:
    """Of the span of a tool's execution, which is named `execute_tool NAME`."""
    return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": kind}


def _operation(endpoint: Endpoint) -> str:
    return _OPERATIONS.get(endpoint, str(endpoint))


def _found(result: SearchResult) -> dict[str, Value]:
    cosines = [passage.cosine for passage in result.passages if passage.cosine is not None]
    told: dict[str, Value] = {
        "manta.num_results": len(result.passages),
        "manta.flags": list(result.flags),
        "manta.retrieval.ids": [passage.id for passage in result.passages],
    }
    if cosines:
        told["manta.retrieval.top_cosine"] = max(cosines)
    return told
