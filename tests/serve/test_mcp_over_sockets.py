"""/mcp behind a real server: the protocol's own client asks the real pipeline, hears its stages, and cancels."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx2
import pytest
import uvicorn
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from configs.schema import AgentConfig, IngressConfig, MockModel
from serve_app.agent.pipeline import AnswerPipeline
from serve_app.engines.mock import MockGenerator
from serve_app.engines.text_edge import TextEdge
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint, ModelCard, Passage, RequestContext, SearchQuery, SearchResult

ASK = {"question": "How do mantas glide?"}


class Documents:
    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        return SearchResult(
            (Passage("p", "d", "docs", "a.md", "A", (), "Mantas glide.", 0, score=1.0, bm25=3.0),)
        )


@dataclass
class Running:
    url: str
    quick: MockGenerator
    endless: MockGenerator


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    quick = MockGenerator(MockModel(name="quick", engine="mock", ttft_ms=0, tpot_ms=0))
    endless = MockGenerator(
        MockModel(
            name="endless",
            engine="mock",
            ttft_ms=0,
            tpot_ms=50,
            num_output_tokens=100_000,
            context_tokens=200_000,
        )
    )
    edges = {"quick": TextEdge(quick), "endless": TextEdge(endless)}
    cards = {name: edge.card() for name, edge in edges.items()}
    agents = {
        f"asks-{name}": AnswerPipeline(
            AgentConfig(
                name=f"asks-{name}", models=(name,), max_answer_tokens=20 if name == "quick" else 100_000
            ),
            edges,
            cards,
            Documents(),  # type: ignore[arg-type]
        )
        for name in edges
    }
    cards |= {name: ModelCard(name, "agent", (Endpoint.CHAT,)) for name in agents}
    services = Services(models=edges, embedders={}, agents=agents, knowledge=None, cards=cards)  # type: ignore[arg-type]
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(IngressConfig(), services), log_level="error", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await until(lambda: server.started)
        yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", quick, endless)
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_stages_come_as_progress_before_the_answer(running: Running, mode: str) -> None:
    told: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with (
        httpx2.AsyncClient(trust_env=False, timeout=60) as http,
        Client(streamable_http_client(running.url, http_client=http), mode=mode, cache=None) as client,
    ):
        result = await client.call_tool("ask", ASK, progress_callback=hear)
    assert result.structured_content is not None
    assert result.structured_content["outcome"] in ("answered", "degraded")
    assert told[:3] == ["run.started", "route: kb", "retrieval: 1 found"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_is_cancelled_frees_the_engine(running: Running, mode: str) -> None:
    async def ask() -> None:
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=60) as http,
            Client(streamable_http_client(running.url, http_client=http), mode=mode, cache=None) as client,
        ):
            await client.call_tool("ask", {**ASK, "agent": "asks-endless"})

    asking = asyncio.create_task(ask())
    await until(lambda: running.endless.num_running == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: running.endless.num_running == 0)
