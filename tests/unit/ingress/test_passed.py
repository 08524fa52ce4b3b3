"""Models whose engines read requests themselves, and their adapters, at the ingress."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from serve_app.adapters.base import Adapter, MemoryAdapters
from serve_app.adapters.book import AdapterBook
from serve_app.errors import BadRequest, EngineRefused
from serve_app.ingress.adapters import Adapters
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint, JsonObject, ModelCard, RequestContext

REFUSAL = b'{"error":{"message":"no such field","type":"BadRequestError","param":null,"code":422}}'
CARD = ModelCard(
    "large",
    "vllm",
    (Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.TOKENIZE),
    context_tokens=99,
    reads_requests=True,
)


class Engine:
    """Tells what it was asked, in its own words."""

    def __init__(self, adapter: str | None = None) -> None:
        self.adapter = adapter
        self.asked: list[tuple[Endpoint, JsonObject]] = []
        self.loaded: list[Adapter] = []

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        self.asked.append((endpoint, body))
        if body.get("odd"):
            raise EngineRefused("no such field", 422, REFUSAL)
        return json.dumps({"adapter": self.adapter}).encode()

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        self.asked.append((endpoint, body))
        if body.get("odd"):
            raise EngineRefused("no such field", 422, REFUSAL)
        yield b"event: anything\ndata: 1\n\n"
        yield b"data: 2\n\n"

    def with_adapter(self, name: str) -> Engine:
        return Engine(name)

    async def load_adapter(self, adapter: Adapter, context: RequestContext) -> None:
        if adapter.path == "/odd":
            raise BadRequest(f"the adapter {adapter.name} does not fit: it is odd", "lora_path")
        self.loaded.append(adapter)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def services(services: Services, engine: Engine) -> Services:
    cards = {**services.cards, "large": CARD}
    adapters = Adapters({"large": engine}, frozenset(cards), AdapterBook([], MemoryAdapters()))
    return replace(services, models={**services.models, "large": engine}, cards=cards, adapters=adapters)


async def test_bodies_pass_as_they_are(client: httpx.AsyncClient, engine: Engine) -> None:
    body: dict[str, Any] = {
        "model": "large",
        "temperature": 7,
        "messages": "whatever",
        "new_field": {"a": [1]},
    }
    assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
    assert (await client.post("/tokenize", json=body)).status_code == 200
    assert engine.asked == [(Endpoint.CHAT, body), (Endpoint.TOKENIZE, body)]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_passes_as_it_is(client: httpx.AsyncClient, *, stream: bool) -> None:
    body = {"model": "large", "odd": True, "stream": stream}
    answer = await client.post("/v1/responses", json=body)
    assert (answer.status_code, answer.content) == (422, REFUSAL)
    assert answer.headers["content-type"] == "application/json"


async def test_streams_pass_as_they_are(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/responses", json={"model": "large", "stream": True})
    assert answer.content == b"event: anything\ndata: 1\n\ndata: 2\n\n"


async def test_what_it_does_not_serve_is_said(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/embeddings", json={"model": "large", "input": "x"})
    assert answer.status_code == 400
    assert "/v1/responses" in answer.json()["error"]["message"]
    assert "not /v1/embeddings" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/responses", {"model": "mock"}, 400),
        ("/tokenize", {"model": "nobody"}, 404),
        ("/v1/score", {}, 400),
        ("/v1/responses", {"model": "large", "stream": "yes"}, 400),
    ],
)
async def test_faults_are_named(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], status: int
) -> None:
    answer = await client.post(path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


async def test_an_adapter_is_loaded_listed_asked_and_unloaded(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    asked = {"model": "poet", "messages": []}
    assert (await client.post("/v1/chat/completions", json=asked)).status_code in (400, 404)
    load = {"lora_name": "poet", "lora_path": "/poet"}
    answer = await client.post("/v1/load_lora_adapter", json=load)
    assert (answer.status_code, answer.text) == (200, "Success: LoRA adapter 'poet' added successfully.")
    assert [one.name for one in engine.loaded] == ["poet"]
    assert (await client.post("/v1/chat/completions", json=asked)).json() == {"adapter": "poet"}
    listed = {one["id"]: one for one in (await client.get("/v1/models")).json()["data"]}
    assert (listed["poet"]["parent"], listed["poet"]["root"]) == ("large", "/poet")
    assert (await client.get("/v1/models/poet")).json()["context_tokens"] == 99

    again = await client.post("/v1/load_lora_adapter", json=load)
    assert (again.status_code, again.json()["error"]["param"]) == (400, "lora_name")
    replaced = await client.post("/v1/load_lora_adapter", json=load | {"load_inplace": True})
    assert replaced.status_code == 200
    assert len({one.version for one in engine.loaded}) == 2

    assert (await client.post("/v1/unload_lora_adapter", json={"lora_name": "poet"})).status_code == 200
    assert (await client.post("/v1/chat/completions", json=asked)).status_code in (400, 404)
    assert (await client.post("/v1/unload_lora_adapter", json={"lora_name": "poet"})).status_code == 404


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"lora_path": "/odd"}, "the adapter poet does not fit: it is odd"),
        ({"lora_name": "mock"}, "the name mock is taken"),
        ({"model": "mock"}, "model must be one of those with adapters: large"),
        ({"lora_paht": "/x"}, "lora_paht"),
    ],
)
async def test_an_adapter_that_cannot_be_is_refused_by_name(
    client: httpx.AsyncClient, change: dict[str, str], why: str
) -> None:
    answer = await client.post(
        "/v1/load_lora_adapter", json={"lora_name": "poet", "lora_path": "/poet"} | change
    )
    assert answer.status_code == 400
    assert why in answer.json()["error"]["message"]
    names = [one["id"] for one in (await client.get("/v1/models")).json()["data"]]
    assert "poet" not in names
