"""A dependency fails, and the answer says so: a test for each row of the table in docs/answers.md.

A client asks over HTTP, and what fails is a server that is stopped, hangs, breaks off or talks nonsense. A web that
fails is in tests/serve/websearch, a trace exporter that fails in tests/serve/telemetry.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from configs.schema import (
    AgentConfig,
    BudgetConfig,
    ExternalEmbedder,
    ExternalModel,
    GateConfig,
    IngressConfig,
    KnowledgeConfig,
    MemoryStoreConfig,
    OpenSearchStoreConfig,
    RedisConfig,
    RetrievalConfig,
    SessionsConfig,
)
from serve_app.agent.pipeline import AnswerPipeline
from serve_app.engines.registry import open_embedder, open_model
from serve_app.evaluation.model_judge import ModelJudge
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services
from serve_app.messages import Deadline, DocumentInput, Endpoint, ModelCard, RequestContext
from serve_app.openai_api.responses import DONE, TextShape, usage
from serve_app.retrieval.knowledge import open_knowledge
from serve_app.sessions.open import open_sessions
from serve_app.websearch.base import WebResult
from serve_app.websearch.fixture import FixtureWeb

QUESTION = "How do manta rays glide?"
TEXT = "Manta rays glide by their wings."
DIM = 8
LONG_S = 60.0  # for what must merely happen
SHORT_S = 0.5  # for what hangs
FAULTS = ("stopped", "hangs", "garbage", "fails")


@dataclass
class Service:
    """A server of models on loopback that does as `mode` says."""

    serve: Callable[[Any], AbstractAsyncContextManager[str]]
    said: str = f"{TEXT} [1]"
    is_supported: bool = True  # what its judge finds
    mode: str = "well"
    url: str = ""
    num_running: int = 0
    num_asked: int = 0
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> Service:
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/embeddings", self._embeddings, methods=["POST"]),
            Route("/{rest:path}", self._no_such_page, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
        ]
        self.url = await self._stack.enter_async_context(self.serve(Starlette(routes=routes)))
        return self

    async def fail(self, mode: str) -> None:
        self.mode = mode
        if mode == "stopped":
            await self.stop()

    async def stop(self) -> None:
        await self._stack.aclose()

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        if "response_format" in body:
            reply = self._judgement(json.dumps(body["response_format"]))
            document = TextShape("id", "m", 0, is_chat=True).document(json.dumps(reply), "stop", usage(7, 3))
            return await self._answered(request, lambda: Response(document, media_type="application/json"))
        return await self._answered(
            request, lambda: StreamingResponse(self._stream(), media_type="text/event-stream")
        )

    def _judgement(self, wanted: str) -> dict[str, Any]:
        nan = float("nan") if self.mode == "nan" else None
        if '"statements"' in wanted:
            return {"statements": [TEXT]}
        if '"verdicts"' in wanted:
            return {"verdicts": [self.is_supported if nan is None else nan]}
        if '"rating"' in wanted:
            return {"rating": 2 if nan is None else nan}
        return {"question": QUESTION, "is_noncommittal": False if nan is None else nan}

    async def _stream(self) -> AsyncIterator[bytes]:
        shape = TextShape("id", "m", 0, is_chat=True)
        yield shape.opening()
        if self.mode == "breaks off":
            yield shape.delta("Manta rays gl")
            return
        while self.mode == "drips":
            yield shape.delta(f"{TEXT} [1] ")
            await asyncio.sleep(0.02)
        yield shape.delta(self.said)
        yield shape.finish("stop") + shape.counts(usage(11, 5)) + DONE

    async def _embeddings(self, request: Request) -> Response:
        texts = (await request.json())["input"]
        value = float("nan") if self.mode == "nan" else 1.0
        data = [{"object": "embedding", "index": at, "embedding": [value] * DIM} for at in range(len(texts))]
        document = json.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": len(texts)}})
        return await self._answered(request, lambda: Response(document, media_type="application/json"))

    async def _no_such_page(self, request: Request) -> Response:
        return await self._answered(request, lambda: Response(status_code=404))

    async def _answered(self, request: Request, well: Callable[[], Response]) -> Response:
        self.num_asked += 1
        self.num_running += 1
        try:
            if self.mode == "hangs":
                while (await request.receive())["type"] != "http.disconnect":
                    pass
            if self.mode == "garbage":
                return Response(b"<html>It works!</html>", media_type="text/html")
            return JSONResponse({"error": "out of order"}, 503) if self.mode == "fails" else well()
        finally:
            self.num_running -= 1


@dataclass
class House:
    """An application over HTTP, and the servers that it stands on."""

    writer: Service
    second: Service
    judge: Service
    embedder: Service
    http: httpx.AsyncClient

    async def ask(self, timeout_s: float = 100.0, **more: Any) -> dict[str, Any]:
        headers = {"x-request-timeout-s": str(timeout_s)}
        response = await self.http.post(
            "/v1/agent/answers", json={"question": QUESTION, **more}, headers=headers
        )
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def nothing_runs(self) -> None:
        async with asyncio.timeout(60):
            for one in (self.writer, self.second, self.judge, self.embedder):
                while one.num_running:  # noqa: ASYNC110 (nobody tells when it ends)
                    await asyncio.sleep(0.01)


@pytest.fixture
async def services(serve: Any) -> AsyncIterator[Callable[[], Any]]:
    made: list[Service] = []

    async def start() -> Service:
        made.append(await Service(serve).start())
        return made[-1]

    yield start
    for one in made:
        await one.stop()


@pytest.fixture
def house(services: Any, serve: Any) -> Callable[..., AbstractAsyncContextManager[House]]:
    @asynccontextmanager
    async def opened(
        *,
        budget: dict[str, float] | None = None,
        embed_timeout_s: float = LONG_S,
        store: OpenSearchStoreConfig | None = None,
        redis_url: str | None = None,
        has_web: bool = False,
        **agent: Any,
    ) -> AsyncIterator[House]:
        writer, second, judge, embedder = [await services() for _ in range(4)]
        models = {name: _model(name, one) for name, one in (("writer", writer), ("second", second))}
        judging = _model("judge", judge)
        vectors = open_embedder(
            ExternalEmbedder(
                name="embed",
                engine="external",
                base_url=f"{embedder.url}/v1",
                upstream_model="m",
                dim=DIM,
                context_tokens=512,
            ),
            Path(),
            1,
        )
        knowledge = open_knowledge(
            KnowledgeConfig(
                store=store or MemoryStoreConfig(kind="memory"),
                retrieval=RetrievalConfig(embed_timeout_s=embed_timeout_s),
            ),
            Path(),
            vectors,
        )
        if store is None:
            context = RequestContext("fill", "default", Deadline.after(100))
            await knowledge.put_documents("docs", [DocumentInput("manta.md", TEXT.encode())], context)
        sessions = None
        if redis_url is not None:
            config = SessionsConfig(store="redis", redis=RedisConfig(url=redis_url, timeout_s=5.0))
            sessions = open_sessions(config, Path())
        long = {"total_s": 100.0, "retrieve_s": LONG_S, "first_token_s": LONG_S, "evaluate_s": LONG_S}
        pages = [WebResult("https://sea.example/manta", "Manta rays", TEXT)]
        pipeline = AnswerPipeline(
            AgentConfig(models=tuple(models), budget=BudgetConfig(**long | (budget or {})), **agent),
            models,
            {name: model.card() for name, model in models.items()},
            knowledge,
            web=FixtureWeb(pages) if has_web else None,
            judge=ModelJudge("judge", judging, vectors),
            sessions=sessions,
        )
        made = Services(
            models={},
            embedders={},
            agents={"manta": pipeline},
            knowledge=knowledge,
            cards={"manta": ModelCard("manta", "agent", (Endpoint.CHAT,))},
            sessions=sessions,
        )
        async with (
            serve(create_app(IngressConfig(), made)) as url,
            httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http,
        ):
            yield House(writer, second, judge, embedder, http)
        for part in (*models.values(), judging, vectors, knowledge, *([sessions] if sessions else [])):
            await part.close()

    return opened


def _model(name: str, service: Service) -> Any:
    return open_model(
        ExternalModel(name=name, engine="external", base_url=f"{service.url}/v1", upstream_model="m"),
        Path(),
        1,
    )


async def test_where_all_is_well_nothing_is_flagged(house: Any) -> None:
    async with house() as well:
        answer = await well.ask()
    assert (answer["outcome"], answer["flags"]) == ("answered", [])
    assert (answer["text"], answer["model"]) == (f"{TEXT} [1]", "writer")
    assert [one["quote"] for one in answer["citations"]] == [TEXT]


@pytest.mark.parametrize("how", [*FAULTS, "nan"])
async def test_without_the_embedder_the_search_is_lexical(house: Any, how: str) -> None:
    hangs = how == "hangs"
    budget = {"evaluate_s": SHORT_S} if hangs else {}
    async with house(embed_timeout_s=SHORT_S if hangs else LONG_S, budget=budget) as broken:
        await broken.embedder.fail(how)
        answer = await broken.ask()
        await broken.nothing_runs()
    assert "lexical_only" in answer["flags"]
    assert answer["outcome"] == "degraded"
    assert answer["citations"][0]["path"] == "manta.md"
    # The judge's relevancy needs vectors, too: nobody makes one up, so there is no verdict.
    assert "unevaluated" in answer["flags"]


@pytest.mark.parametrize("how", ["stopped", "hangs", "garbage", "fails"])
@pytest.mark.parametrize(
    ("policy", "outcome", "flags"),
    [
        ({}, "abstained", {"kb_unavailable"}),
        ({"abstain_when_incorrect": False}, "degraded", {"kb_unavailable", "ungrounded"}),
        ({"has_web": True}, "degraded", {"kb_unavailable"}),
    ],
)
async def test_without_the_knowledge_base_the_web_a_model_alone_or_nothing(
    house: Any, services: Any, how: str, policy: dict[str, Any], outcome: str, flags: set[str]
) -> None:
    server = await services()
    await server.fail(how)
    store = OpenSearchStoreConfig(kind="opensearch", url=server.url)
    budget = {"retrieve_s": SHORT_S if how == "hangs" else 10.0}
    async with house(store=store, budget=budget, **policy) as broken:
        answer = await broken.ask()
    assert answer["outcome"] == outcome
    assert flags <= set(answer["flags"])
    assert [one["source"] for one in answer["citations"]] == (["web"] if "has_web" in policy else [])


@pytest.mark.parametrize("how", [*FAULTS, "nan"])
@pytest.mark.parametrize("policy", ["flag", "abstain"])
async def test_without_a_verdict_the_answer_says_so_or_stays(house: Any, how: str, policy: str) -> None:
    budget = {"evaluate_s": SHORT_S} if how == "hangs" else {}
    async with house(budget=budget, gate=GateConfig(when_unevaluated=policy)) as broken:
        await broken.judge.fail(how)
        answer = await broken.ask()
        await broken.nothing_runs()
    assert "unevaluated" in answer["flags"]
    assert answer["outcome"] == ("answered" if policy == "flag" else "abstained")
    assert (TEXT in answer["text"]) == (policy == "flag")


@pytest.mark.parametrize("how", [*FAULTS, "breaks off"])
async def test_the_next_model_answers_and_without_any_the_passages_are_quoted(house: Any, how: str) -> None:
    budget = {"first_token_s": SHORT_S} if how == "hangs" else {}
    async with house(budget=budget) as broken:
        await broken.writer.fail(how)
        answer = await broken.ask()
        # The second model has to be quick as well where the first one hangs.
        if how != "hangs" or "extractive" not in answer["flags"]:
            assert (answer["model"], answer["outcome"]) == ("second", "degraded")
            assert answer["flags"] == ["model_fallback"]
        await broken.second.fail(how)
        answer = await broken.ask()
        await broken.nothing_runs()
    assert answer["flags"] == ["extractive"]
    assert answer["model"] is None
    assert answer["text"].startswith(TEXT.rstrip("."))
    assert [one["quote"] for one in answer["citations"]] == [TEXT]
    assert {"chat model writer", "chat model second"} <= {
        note[4:].split(" gave")[0] for note in answer["notes"]
    }


@pytest.mark.parametrize("how", ["stopped", "silent"])
async def test_without_the_session_store_the_turn_stands_alone(
    house: Any, free_port: Callable[[], int], how: str
) -> None:
    """`silent`: something listens at its port and never answers."""
    closing = asyncio.Event()

    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await closing.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = free_port() if how == "stopped" else server.sockets[0].getsockname()[1]
    budget = {"session_s": SHORT_S}
    async with house(redis_url=f"redis://127.0.0.1:{port}/0", budget=budget) as broken:
        answer = await broken.ask(session="s1")
    closing.set()
    server.close()
    await server.wait_closed()
    assert answer["flags"] == ["session_unavailable"]
    assert (answer["outcome"], answer["text"]) == ("degraded", f"{TEXT} [1]")


async def test_a_redis_that_is_killed_between_two_turns_is_a_flag_on_the_second(
    house: Any, free_port: Callable[[], int], tmp_path: Path
) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server, which is not on this machine")
    port = free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path), "--save", "")
    redis = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)  # noqa: ASYNC220 (it returns at once)
    try:
        await _until_open(port)
        async with house(redis_url=f"redis://127.0.0.1:{port}/0", budget={"session_s": 20.0}) as broken:
            assert (await broken.ask(session="s1"))["flags"] == []
            redis.kill()
            redis.wait()
            answer = await broken.ask(session="s1")
    finally:
        redis.kill()
        redis.wait()
    assert answer["flags"] == ["session_unavailable"]
    assert answer["text"] == f"{TEXT} [1]"


async def _until_open(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return


async def test_when_the_time_is_over_the_best_so_far_leaves(house: Any) -> None:
    async with house() as slow:
        await slow.writer.fail("drips")
        answer = await slow.ask(timeout_s=3.0)
        slow.writer.mode = "well"
        await slow.nothing_runs()
    assert "deadline" in answer["flags"]
    assert answer["outcome"] == "degraded"
    assert TEXT.rstrip(".") in answer["text"]


async def test_what_the_gate_does_not_pass_is_withheld_with_its_sources(house: Any) -> None:
    async with house() as doubted:
        doubted.judge.is_supported = False
        answer = await doubted.ask()
    assert (answer["outcome"], answer["flags"]) == ("abstained", ["low_confidence"])
    assert TEXT not in answer["text"]
    assert [one["path"] for one in answer["citations"]] == ["manta.md"]
    assert doubted.writer.num_asked == 2  # one further draft, which says the same, and then no more
