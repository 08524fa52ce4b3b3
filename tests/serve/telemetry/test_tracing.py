"""The trace of a request, as a real receiver gets it. Everything but Ray: the handles between are calls here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.schema import (
    AgentConfig,
    IngressConfig,
    KnowledgeConfig,
    MemoryStoreConfig,
    MockEmbedder,
    MockModel,
    TracingConfig,
)
from serve_app.agent.pipeline import AnswerPipeline
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockGenerator, MockTextEmbedder
from serve_app.engines.text_edge import TextEdge
from serve_app.evaluation.model_judge import ModelJudge
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services
from serve_app.messages import (
    Deadline,
    DocumentInput,
    Endpoint,
    JsonObject,
    ModelCard,
    RequestContext,
)
from serve_app.openai_api.responses import DONE, TextShape, usage
from serve_app.retrieval.knowledge import open_knowledge
from serve_app.sessions.memory import MemorySessions
from serve_app.telemetry.metrics import Metric
from serve_app.telemetry.stages import stage_spans
from serve_app.telemetry.traced import (
    TracedAgent,
    trace_embedder,
    trace_judge,
    trace_model,
    trace_search,
    trace_web,
)
from serve_app.telemetry.tracing import Tracing
from serve_app.websearch.base import WebResult
from serve_app.websearch.fixture import FixtureWeb

# Stands in every text that a person, a document, a page or a model writes.
CANARY = "xylophone"
QUESTION = f"Where does the manta {CANARY} glide at night?"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Scripted:
    """A ModelEngine that answers by what it is asked: prose, or the judge's JSON."""

    def __init__(self, name: str) -> None:
        self._name = name

    def card(self) -> ModelCard:
        return ModelCard(self._name, "scripted", (Endpoint.CHAT,))

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        wanted = json.dumps(body["response_format"])
        reply: JsonObject
        if '"statements"' in wanted:
            reply = {"statements": [f"The {CANARY} glides."]}
        elif '"verdicts"' in wanted:
            reply = {"verdicts": [True]}
        elif '"rating"' in wanted:
            reply = {"rating": 2}
        else:
            reply = {"question": QUESTION, "is_noncommittal": False}
        shape = TextShape("id", self._name, 0, is_chat=True)
        return shape.document(json.dumps(reply), "stop", usage(7, 3))

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        shape = TextShape("id", self._name, 0, is_chat=True)
        yield shape.opening() + shape.delta(f"The {CANARY} glides ")
        yield shape.delta("over the reef [1].")
        yield shape.finish("stop") + shape.counts(usage(11, 5)) + DONE

    async def check_health(self) -> None: ...

    async def close(self) -> None: ...


class House:
    """The application in one process, traced to a receiver."""

    def __init__(self, config: TracingConfig) -> None:
        self.counted: list[tuple[str, float, dict[str, str]]] = []
        self.tracing = Tracing(config, "test", self._count, sends_scores=True)
        tracer = self.tracing.tracer
        embedder = EmbeddingEdge(MockTextEmbedder(MockEmbedder(name="embed", engine="mock", dim=32)))
        traced_embedder = trace_embedder(embedder, tracer)
        self.knowledge = open_knowledge(
            KnowledgeConfig(store=MemoryStoreConfig(kind="memory")), Path(), traced_embedder
        )
        writer, judge = (trace_model(Scripted(name), tracer) for name in ("writer", "judge"))
        mock = trace_model(
            TextEdge(MockGenerator(MockModel(name="mock", engine="mock", ttft_ms=0, tpot_ms=0))), tracer
        )
        pages = [
            WebResult("https://a.example/x", "Night", f"The manta {CANARY} glides over the reef at night.")
        ]
        pipeline = AnswerPipeline(
            AgentConfig(models=("writer",), gate={"correct_at": 1.0, "incorrect_below": 0.0}),
            {"writer": writer},
            {"writer": writer.card()},
            trace_search(self.knowledge, tracer),
            web=trace_web(FixtureWeb(pages), tracer),
            judge=trace_judge(ModelJudge("judge", judge, traced_embedder), tracer, self.tracing.scores),
            sessions=MemorySessions(),
            around=None if tracer is None else stage_spans(tracer),
        )
        agent = pipeline if tracer is None else TracedAgent(pipeline, tracer, "manta")
        services = Services(
            models={"mock": mock},
            embedders={"embed": traced_embedder},
            agents={"manta": agent},
            knowledge=self.knowledge,
            cards={
                "mock": mock.card(),
                "embed": embedder.card(),
                "manta": ModelCard("manta", "agent", (Endpoint.CHAT,)),
            },
        )
        app = create_app(IngressConfig(), services, tracer=tracer)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://manta")

    async def fill(self) -> None:
        """Without a trace of its own."""
        context = RequestContext("fill", "default", Deadline.after(60), traceparent=PARENT[:-2] + "00")
        text = f"# Reefs\n\nThe manta {CANARY} glides over the reef at night.".encode()
        await self.knowledge.put_documents("docs", [DocumentInput("reef.md", text)], context)

    async def ask(self, **more: Any) -> JsonObject:
        headers = more.pop("headers", {})
        body = {"question": QUESTION, **more}
        response = await self.http.post("/v1/agent/answers", json=body, headers=headers)
        assert response.status_code == 200, response.text
        answer: JsonObject = response.json()
        return answer

    async def close(self) -> None:
        """Everything is exported when it returns. Closing twice is fine."""
        if self.http.is_closed:
            return
        await self.http.aclose()
        await self.tracing.close()
        await self.knowledge.close()

    def _count(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        self.counted.append((metric.name, amount, labels))


def otlp(receiver: Any, **more: Any) -> TracingConfig:
    url = f"{receiver.url}/v1/traces"
    return TracingConfig(exporters=({"kind": "otlp", "endpoint": url},), export_every_s=0.05, **more)


@pytest.fixture
async def build() -> AsyncIterator[Callable[[TracingConfig], Any]]:
    houses: list[House] = []

    async def make(config: TracingConfig) -> House:
        house = House(config)
        houses.append(house)
        await house.fill()
        return house

    yield make
    for house in houses:
        await house.close()


async def test_the_tree_of_one_answer(receiver: Any, build: Any) -> None:
    house = await build(otlp(receiver))
    answer = await house.ask(session="s1", headers={"traceparent": PARENT})
    await house.close()
    assert receiver.tree() == (
        "POST /v1/agent/answers",
        [
            (
                "invoke_agent manta",
                [
                    (
                        "evaluate",
                        [
                            (
                                "evaluate judge",
                                [("chat judge", [])] * 5 + [("embeddings embed", [])],
                            )
                        ],
                    ),
                    ("generate", [("chat writer", [])]),
                    ("grade_ctx", []),
                    ("guard_in", []),
                    ("guard_out", []),
                    ("received", []),
                    ("retrieve", [("retrieval knowledge", [("embeddings embed", [])])]),
                    ("route", []),
                    ("web", [("execute_tool web_search", [])]),
                ],
            )
        ],
    )
    assert {span.trace_id for span in receiver.spans} == {"0af7651916cd43dd8448eb211c80319c"}
    assert answer["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    ingress = receiver.one("POST /v1/agent/answers")
    assert ingress.parent_id == "b7ad6b7169203331"
    assert ingress.attributes["http.response.status_code"] == 200
    assert ingress.service["service.name"] == "manta"
    assert not [span for span in receiver.spans if span.status == 2 or "manta.cancelled" in span.attributes]


async def test_what_spans_say_by_the_conventions(receiver: Any, build: Any) -> None:
    house = await build(otlp(receiver))
    answer = await house.ask(session="s1")
    await house.close()
    chat = receiver.one("chat writer")
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.request.model"] == "writer"
    assert chat.attributes["gen_ai.request.max_tokens"] == 400
    assert chat.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert chat.attributes["gen_ai.usage.input_tokens"] == 11
    assert chat.attributes["gen_ai.usage.output_tokens"] == 5
    assert chat.attributes["gen_ai.response.time_to_first_chunk"] >= 0
    agent = receiver.one("invoke_agent manta")
    assert agent.attributes["gen_ai.agent.name"] == "manta"
    assert agent.attributes["gen_ai.conversation.id"] == "s1"
    assert agent.attributes["manta.outcome"] == answer["outcome"]
    judged = {one["gen_ai.evaluation.name"]: one for _, one in receiver.one("evaluate judge").events}
    assert judged["faithfulness"]["gen_ai.evaluation.score.value"] == 1.0


async def test_tokens_are_counted_once(receiver: Any, build: Any) -> None:
    house = await build(otlp(receiver))
    answer = await house.ask()
    await house.close()
    carriers = [span for span in receiver.spans if "gen_ai.usage.input_tokens" in span.attributes]
    assert {span.attributes["gen_ai.operation.name"] for span in carriers} == {"chat", "embeddings"}
    chats = [span.attributes for span in carriers if span.name.startswith("chat")]
    totals = {
        "prompt_tokens": sum(one["gen_ai.usage.input_tokens"] for one in chats),
        "completion_tokens": sum(one["gen_ai.usage.output_tokens"] for one in chats),
    }
    assert totals == {name: answer["usage"][name] for name in totals}


async def test_no_text_leaves_unless_it_is_asked_for(receiver: Any, build: Any) -> None:
    house = await build(otlp(receiver))
    await house.ask(session="s1")
    chat = {"model": "mock", "messages": [{"role": "user", "content": CANARY}]}
    assert (await house.http.post("/v1/chat/completions", json=chat)).status_code == 200
    assert (await house.http.post("/v1/chat/completions", json={**chat, CANARY: 1})).status_code == 400
    assert (await house.http.post("/v1/embeddings", json={"model": "embed", "input": CANARY})).is_success
    assert (await house.http.get(f"/v1/knowledge/documents?source={CANARY}")).is_success
    assert (await house.http.delete(f"/v1/knowledge/documents/{CANARY}")).status_code == 404
    await house.close()
    assert len(receiver.spans) > 15
    for body in receiver.bodies:
        assert CANARY.encode() not in body
        assert b"glides" not in body
    exported = {name for span in receiver.spans for name in span.attributes}
    assert not [name for name in exported if "messages" in name or "query" in name or "arguments" in name]


async def test_texts_are_there_where_they_are_asked_for(receiver: Any, build: Any) -> None:
    house = await build(otlp(receiver, capture_content=True))
    await house.ask()
    await house.close()
    chat, agent = receiver.one("chat writer").attributes, receiver.one("invoke_agent manta").attributes
    said = json.loads(chat["gen_ai.output.messages"])
    assert said[0]["parts"][0]["content"] == f"The {CANARY} glides over the reef [1]."
    assert QUESTION in chat["gen_ai.input.messages"]
    assert json.loads(agent["gen_ai.input.messages"])[0]["parts"][0]["content"] == QUESTION
    assert receiver.one("retrieval knowledge").attributes["gen_ai.retrieval.query.text"] == QUESTION


@pytest.mark.parametrize(
    ("ratio", "traceparent", "is_traced"),
    [
        (0.0, None, False),
        (0.0, PARENT, True),
        (1.0, PARENT[:-2] + "00", False),
        (1.0, None, True),
        (1.0, "x", True),
    ],
)
async def test_a_parent_decides_and_else_the_ratio(
    receiver: Any, build: Any, *, ratio: float, traceparent: str | None, is_traced: bool
) -> None:
    house = await build(otlp(receiver, sample_ratio=ratio))
    answer = await house.ask(headers={} if traceparent is None else {"traceparent": traceparent})
    await house.close()
    assert bool(receiver.spans) == is_traced
    assert len(answer["trace_id"]) == 32


@pytest.mark.parametrize("status", [400, 500, None])
async def test_a_receiver_that_fails_touches_no_request(
    receiver: Any, build: Any, free_port: Callable[[], int], status: int | None
) -> None:
    if status is None:  # nobody there
        receiver.port = free_port()
    else:
        receiver.status = status
    house = await build(otlp(receiver, max_queued_spans=64))
    answers = await asyncio.gather(*(house.ask() for _ in range(12)))
    assert {answer["outcome"] for answer in answers} == {"answered"}
    await house.close()
    lost = sum(amount for name, amount, _ in house.counted if name == "trace_spans_dropped_total")
    assert lost > 0
    assert receiver.spans == []


async def test_off_is_off(build: Any) -> None:
    house = await build(TracingConfig())
    assert house.tracing.tracer is None
    answer = await house.ask()
    assert "trace_id" not in answer
    own = await house.ask(headers={"traceparent": PARENT})
    assert own["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


async def test_langfuse_gets_spans_and_scores(
    receiver: Any, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "public")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "private")
    config = TracingConfig(exporters=({"kind": "langfuse", "base_url": receiver.url},), export_every_s=0.05)
    house = await build(config)
    answer = await house.ask()
    await house.close()
    assert set(receiver.paths) == {"/api/public/otel/v1/traces", "/api/public/ingestion"}
    assert {one["authorization"] for one in receiver.headers} == {"Basic cHVibGljOnByaXZhdGU="}
    scores = [event["body"] for batch in receiver.batches for event in batch["batch"]]
    assert {score["traceId"] for score in scores} == {answer["trace_id"]}
    assert {score["name"]: score["value"] for score in scores}["faithfulness"] == 1.0
    assert CANARY not in json.dumps(receiver.batches)
    assert receiver.one("chat writer").trace_id == answer["trace_id"]


async def test_no_score_of_a_trace_that_is_not_in_the_sample(
    receiver: Any, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "public")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "private")
    exporter = {"kind": "langfuse", "base_url": receiver.url, "scores_ratio": 1e-12}
    house = await build(TracingConfig(exporters=(exporter,), export_every_s=0.05))
    await house.ask()
    await house.close()
    assert receiver.batches == []
    assert receiver.spans


async def test_a_stream_that_is_left_is_a_cancelled_span(receiver: Any, build: Any) -> None:
    house = await build(otlp(receiver))
    tracer = house.tracing.tracer
    config = MockModel(name="slow", engine="mock", ttft_ms=0, tpot_ms=0, context_tokens=100_000)
    model = trace_model(TextEdge(MockGenerator(config)), tracer)
    body = {
        "model": "slow",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "max_tokens": 50_000,
    }
    context = RequestContext("r", "default", Deadline.after(60))
    frames = model.stream(Endpoint.CHAT, body, context)
    await anext(frames)
    await frames.aclose()
    await house.close()
    assert receiver.one("chat slow").attributes["manta.cancelled"] is True
