"""The real LiteLLM proxy before the real ingress: what gets through it, and what must not.

LiteLLM is in an environment of its own, which `make .venv-gateway` installs; the tests are skipped where it is not.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn

from cluster.litellm.local import DEFAULT_PYTHON, running
from configs.load import Profile, parse_platform
from configs.schema import MockEmbedder, MockModel, MockReranker
from serve_app.engines.cards import agent_card
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockGenerator, MockTextEmbedder
from serve_app.engines.rerank.edge import RerankEdge
from serve_app.engines.rerank.mock import MockPairScorer
from serve_app.engines.text_edge import TextEdge
from serve_app.ingress.app import create_app
from serve_app.ingress.door.parts import open_door
from serve_app.ingress.services import Services
from serve_app.messages import AgentEvent, AgentQuestion, RequestContext

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not DEFAULT_PYTHON.exists(), reason="LiteLLM is not installed: make .venv-gateway installs it"
    ),
]

MASTER = "not-a-secret-master"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LONG = {"max_tokens": 20_000, "ignore_eos": True}
HELLO = [{"role": "user", "content": "hi"}]


class Recorded(TextEdge):
    """A model that remembers who asked."""

    def __init__(self, generator: MockGenerator) -> None:
        super().__init__(generator)
        self.generator = generator
        self.contexts: list[RequestContext] = []

    async def respond(self, endpoint: Any, body: Any, context: RequestContext) -> bytes:
        self.contexts.append(context)
        return await super().respond(endpoint, body, context)

    async def stream(self, endpoint: Any, body: Any, context: RequestContext) -> AsyncIterator[bytes]:
        self.contexts.append(context)
        async for frame in super().stream(endpoint, body, context):
            yield frame


class Librarian:
    """An agent that has read one book."""

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        yield AgentEvent("run.started", {"run_id": "r1", "agent": "manta", "model": "mock"})
        final = {
            "text": "Mantas glide. [1]",
            "outcome": "answered",
            "citations": [{"n": 1, "path": "rays.md", "quote": "Mantas glide."}],
            "flags": [],
            "notes": [],
            "usage": {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11},
            "model": "mock",
            "run": [{"state": "retrieve", "ms": 3}],
        }
        yield AgentEvent("answer.final", final)


@dataclass
class Stack:
    """The proxy's address, and the model behind it all."""

    url: str
    model: Recorded
    other_port: int
    client: openai.AsyncOpenAI = field(init=False)

    def __post_init__(self) -> None:
        self.client = openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=MASTER, max_retries=0)

    @property
    def context(self) -> RequestContext:
        return self.model.contexts[-1]


@pytest.fixture(scope="module")
def free(free_port: Callable[[], int]) -> tuple[int, ...]:
    return free_port(), free_port(), free_port()


@pytest.fixture(scope="module")
def profile(free: tuple[int, ...]) -> Profile:
    address = f"http://127.0.0.1:{free[2]}/v1"
    elsewhere = {"name": "elsewhere", "model": "openai/elsewhere", "api_base": address}
    elsewhere |= {"params": {"api_key": "none", "max_retries": 0}}
    platform = parse_platform(
        {
            "door": {
                "authentication": {"gateway": {"secret": {"env": "TEST_GATEWAY_SECRET"}}},
                "model_limits": {"scarce": {"requests_per_min": 1, "burst_requests": 1}},
            },
            "litellm": {"master_key": {"env": "TEST_MASTER_KEY"}, "models": [elsewhere]},
            "models": [
                {"name": "mock", "engine": "mock", "ttft_ms": 1, "tpot_ms": 1, "context_tokens": 200_000},
                {"name": "scarce", "engine": "mock", "ttft_ms": 1, "tpot_ms": 1},
            ],
            "embedder": {"name": "embedder", "engine": "mock", "dim": 16},
            "reranker": {"name": "reranker", "engine": "mock"},
            "agent": {"name": "manta", "models": ["mock"]},
        }
    )
    return Profile(Path("test.yaml"), "manta", "/", "127.0.0.1", free[0], platform)


@pytest.fixture(scope="module")
def proxy(profile: Profile, free: tuple[int, ...]) -> AsyncIterator[str]:
    """LiteLLM, for the whole file; it does not mind that what is behind it comes and goes."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TEST_GATEWAY_SECRET", "of-the-gateway")
        environment.setenv("TEST_MASTER_KEY", MASTER)
        with running(profile, port=free[1]) as (url, _):
            yield url


@pytest.fixture
async def stack(
    proxy: str, profile: Profile, free: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stack]:
    monkeypatch.setenv("TEST_GATEWAY_SECRET", "of-the-gateway")
    config = profile.platform
    model_config = config.models[0]
    assert isinstance(model_config, MockModel)
    model = Recorded(MockGenerator(model_config))
    models: dict[str, Any] = {"mock": model, "scarce": model}
    models["reranker"] = RerankEdge(MockPairScorer(MockReranker(name="reranker", engine="mock")))
    embedder = EmbeddingEdge(MockTextEmbedder(MockEmbedder(name="embedder", engine="mock", dim=16)))
    cards = {name: one.card() for name, one in (models | {"embedder": embedder}).items()}
    cards["manta"] = agent_card(config.agent)
    services = Services(
        models=models,
        embedders={"embedder": embedder},
        agents={"manta": Librarian()},
        knowledge=None,  # type: ignore[arg-type]
        cards=cards,
    )
    door = open_door(config.door, config.ingress, tmp_path, cards, "manta")
    app = create_app(config.ingress, services, door=door)
    listener = socket.create_server(("127.0.0.1", profile.port), backlog=64)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await until(lambda: server.started)
        made = Stack(proxy, model, free[2])
        yield made
        await made.client.close()
    finally:
        server.should_exit = True
        await serving
        listener.close()
        assert door is not None
        await door.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 (what is waited for tells nobody when it happens)
            await asyncio.sleep(0.005)


async def test_an_answer_and_what_it_took(stack: Stack) -> None:
    answer = await stack.client.chat.completions.create(
        model="mock", messages=HELLO, max_tokens=7, extra_body={"ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7


async def test_a_stream_comes_as_it_is_made(stack: Stack) -> None:
    stream = await stack.client.chat.completions.create(
        model="mock", messages=HELLO, max_tokens=2000, stream=True, extra_body={"ignore_eos": True}
    )
    num_while_running = num = 0
    async for chunk in stream:
        num += bool(chunk.choices and chunk.choices[0].delta.content)
        num_while_running += stack.model.generator.num_running
    assert num > 100
    assert num_while_running > 10


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_client_that_leaves_frees_the_engines_slot(stack: Stack, *, is_stream: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stack.url.rpartition(":")[2]))
    body = json.dumps({"model": "mock", "messages": HELLO, "stream": is_stream, **LONG}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {MASTER}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    writer.write("\r\n".join((*head, "", "")).encode() + body)
    await until(lambda: stack.model.generator.num_running == 1)
    if is_stream:
        async with asyncio.timeout(60):
            await reader.readuntil(b"data: ")
    writer.close()
    await until(lambda: stack.model.generator.num_running == 0)


async def test_deadline_priority_and_trace_get_through(stack: Stack) -> None:
    headers = {"x-request-timeout-s": "77", "x-manta-priority": "batch", "traceparent": TRACE}
    await stack.client.chat.completions.create(
        model="mock", messages=HELLO, max_tokens=2, extra_headers=headers
    )
    assert 60 < stack.context.deadline.remaining_s() <= 77
    assert stack.context.priority == "batch"
    assert (stack.context.traceparent or "").split("-")[1] == TRACE.split("-")[1]


@pytest.mark.parametrize("way", ["header", "body"])
async def test_a_client_cannot_say_for_whom_it_asks(stack: Stack, way: str) -> None:
    forged = {"x-manta-tenant": "victim", "x-manta-gateway": "guessed"}
    body = {"model": "mock", "messages": HELLO, "max_tokens": 2}
    if way == "body":
        body["extra_headers"] = forged
    headers = {"authorization": f"Bearer {MASTER}"} | (forged if way == "header" else {})
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        response = await http.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers)
    assert response.status_code in (200, 400), response.text
    assert all(context.tenant == "default" for context in stack.model.contexts)


async def test_another_provider_never_sees_the_secret(stack: Stack) -> None:
    seen: list[bytes] = []

    async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(provider, "127.0.0.1", stack.other_port)
    async with server:
        with pytest.raises(openai.APIStatusError):
            await stack.client.chat.completions.create(model="elsewhere", messages=HELLO)
    assert seen
    assert b"x-manta" not in seen[0].lower()
    assert b"of-the-gateway" not in seen[0]


@pytest.mark.parametrize("target", ["elsewhere", {"model": "elsewhere"}])
async def test_a_client_cannot_make_a_request_with_the_secret_fall_back_elsewhere(
    stack: Stack, target: object
) -> None:
    seen: list[bytes] = []

    async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    body = {"min_tokens": -3, "fallbacks": [target], "mock_testing_fallbacks": True}
    async with await asyncio.start_server(provider, "127.0.0.1", stack.other_port):
        with pytest.raises(openai.APIStatusError):
            await stack.client.chat.completions.create(model="mock", messages=HELLO, extra_body=body)
    assert not any(b"of-the-gateway" in one or b"x-manta" in one.lower() for one in seen)


async def test_errors_keep_their_status(stack: Stack) -> None:
    with pytest.raises(openai.BadRequestError):
        await stack.client.chat.completions.create(
            model="mock", messages=HELLO, max_tokens=2, extra_body={"min_tokens": -3}
        )
    with pytest.raises(openai.APIStatusError) as caught:
        await stack.client.chat.completions.create(
            model="mock", messages=HELLO, extra_body=LONG, extra_headers={"x-request-timeout-s": "0.2"}
        )
    assert caught.value.status_code in (408, 504)


async def test_without_a_key_nobody_gets_in(stack: Stack) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        response = await http.post(
            f"{stack.url}/v1/chat/completions", json={"model": "mock", "messages": HELLO}
        )
    assert response.status_code == 401, response.text
    assert not stack.model.contexts


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "json"])
async def test_tools_are_called(stack: Stack, *, is_stream: bool) -> None:
    tool = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
    asked: dict[str, Any] = {
        "model": "mock",
        "messages": [{"role": "user", "content": 'call:tide {"place": "Yap"}'}],
        "tools": [tool],
    }
    if is_stream:
        pieces = [
            call
            async for chunk in await stack.client.chat.completions.create(**asked, stream=True)
            for choice in chunk.choices
            for call in choice.delta.tool_calls or ()
        ]
        functions = [piece.function for piece in pieces if piece.function is not None]
        name = "".join(one.name or "" for one in functions)
        arguments = "".join(one.arguments or "" for one in functions)
    else:
        answer = await stack.client.chat.completions.create(**asked)
        (call,) = answer.choices[0].message.tool_calls or ()
        name, arguments = call.function.name, call.function.arguments
        assert answer.choices[0].finish_reason == "tool_calls"
    assert (name, json.loads(arguments)) == ("tide", {"place": "Yap"})


async def test_a_plain_prompt_is_completed(stack: Stack) -> None:
    answer = await stack.client.completions.create(
        model="mock", prompt="hi", max_tokens=3, extra_body={"ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


async def test_texts_become_vectors(stack: Stack) -> None:
    answer = await stack.client.embeddings.create(model="embedder", input=["a reef", "a ray"])
    assert [(one.index, len(one.embedding)) for one in answer.data] == [(0, 16), (1, 16)]
    direct = await stack.client.embeddings.create(model="embedder", input="a ray")
    assert answer.data[1].embedding == pytest.approx(direct.data[0].embedding)


async def test_documents_are_ranked(stack: Stack) -> None:
    asked = {"model": "reranker", "query": "manta ray", "documents": ["a cat", "a manta ray", "a ray"]}
    headers = {"authorization": f"Bearer {MASTER}"}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        response = await http.post(f"{stack.url}/v1/rerank", json=asked, headers=headers)
    assert response.status_code == 200, response.text
    assert [one["index"] for one in response.json()["results"]] == [1, 2, 0]


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "json"])
async def test_an_agent_answers(stack: Stack, *, is_stream: bool) -> None:
    question: Any = [{"role": "user", "content": "what do mantas do?"}]
    if is_stream:
        stream = await stack.client.chat.completions.create(model="manta", messages=question, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces) == "Mantas glide. [1]"
    else:
        answer = await stack.client.chat.completions.create(model="manta", messages=question)
        assert answer.choices[0].message.content == "Mantas glide. [1]"


async def test_a_limit_is_a_limit_behind_the_proxy(stack: Stack) -> None:
    async def ask() -> None:
        await stack.client.chat.completions.create(model="scarce", messages=HELLO, max_tokens=2)

    await ask()
    with pytest.raises(openai.RateLimitError) as caught:
        await ask()
    assert caught.value.status_code == 429
    assert "model scarce is limited to 1 requests a minute" in str(caught.value)
    assert len(stack.model.contexts) == 1  # nobody tried again
