"""What an attacker would try at the door, over the real routes: to be somebody else, to be counted as nobody, to get
past the guards, to find another tenant's answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.schema import (
    AnswerCacheConfig,
    AuthenticationConfig,
    DoorConfig,
    FrontConfig,
    GatewayConfig,
    GuardPolicies,
    GuardsConfig,
    IngressConfig,
    InputPolicies,
    KeysConfig,
    SecretRef,
)
from serve_app.front.parts import open_front
from serve_app.identity.base import Role
from serve_app.identity.embedded_keys import EmbeddedKeyStore
from serve_app.identity.keys import make_key
from serve_app.ingress.app import create_app
from serve_app.ingress.door.parts import open_door
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint, JsonObject, RequestContext
from serve_app.telemetry.metrics import count_nothing

CHAT = "/v1/chat/completions"
CARD = "4111 1111 1111 1111"
SECRET = "of the gateway"
JSON = {"content-type": "application/json"}
KEYS = AuthenticationConfig(keys=KeysConfig(), gateway=GatewayConfig(secret=SecretRef(env="GW")))
GUARDS = GuardsConfig(
    input=InputPolicies(pii="redact", topics="block"),
    output=GuardPolicies(pii="redact"),
    topics={"bombs": ("a bomb",)},
)


def said(text: str, **more: Any) -> JsonObject:
    return {"model": "mock", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


class Watched:
    """A model or an embedder that remembers what it was asked, and for whom."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.asked: list[tuple[str, JsonObject]] = []

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        self.asked.append((context.tenant, body))
        document: bytes = await self._inner.respond(endpoint, body, context)
        return document

    def stream(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> AsyncIterator[bytes]:
        self.asked.append((context.tenant, body))
        frames: AsyncIterator[bytes] = self._inner.stream(endpoint, body, context)
        return frames


class House:
    """An application with the whole door."""

    def __init__(
        self, client: httpx.AsyncClient, model: Watched, embedder: Watched, keys: dict[str, str]
    ) -> None:
        self.client = client
        self.model = model
        self.embedder = embedder
        self.keys = keys

    async def post(
        self, body: bytes | JsonObject, *headers: tuple[str, str], path: str = CHAT
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(path, content=content, headers=[*JSON.items(), *headers])

    def bearer(self, tenant: str) -> tuple[str, str]:
        return "authorization", f"Bearer {self.keys[tenant]}"


@pytest.fixture
async def house(
    services: Services, config: IngressConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    monkeypatch.setenv("GW", SECRET)
    store = EmbeddedKeyStore(tmp_path / "door" / "keys.sqlite3")
    keys: dict[str, str] = {}
    for tenant, role in (("team-a", Role.USER), ("team-b", Role.USER), ("ops", Role.ADMIN)):
        made = make_key(tenant, tenant, role, time.time())
        await store.put(made.record)
        keys[tenant] = made.key
    model = Watched(services.models["mock"])
    embedder: Any = Watched(services.embedders["embed"])
    front = FrontConfig(guards=GUARDS, cache=AnswerCacheConfig())
    one = replace(
        services,
        models={"mock": model},
        embedders={"embed": embedder},
        front=open_front(front, {"mock": services.cards["mock"]}, count_nothing, agents=("manta",)),
    )
    door = open_door(DoorConfig(authentication=KEYS), config, tmp_path, one.cards, "manta")
    assert door is not None
    running = asyncio.create_task(door.run())
    transport = httpx.ASGITransport(app=create_app(config, one, door=door))
    async with httpx.AsyncClient(transport=transport, base_url="http://manta") as client:
        yield House(client, model, embedder, keys)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await door.close()


# ---------------------------------------------------------------- to be somebody else


@pytest.mark.parametrize(
    "names", [("Authorization", "authorization"), ("AUTHORIZATION", "X-Api-Key"), ("api-key", "X-API-KEY")]
)
async def test_two_credentials_are_none(house: House, names: tuple[str, str]) -> None:
    for tenants in (("team-a", "team-a"), ("team-a", "team-b")):
        headers = [
            (name, f"Bearer {house.keys[tenant]}" if name.lower() == "authorization" else house.keys[tenant])
            for name, tenant in zip(names, tenants, strict=True)
        ]
        assert (await house.post(said("hi"), *headers)).status_code == 401
    assert not house.model.asked


@pytest.mark.parametrize(
    "value", ["Bearer {a}, Bearer {b}", "Bearer {a} {b}", "Bearer {a}\t{b}", "Basic {a}", "{a}"]
)
async def test_one_credential_that_is_two_or_none_is_refused(house: House, value: str) -> None:
    given = value.format(a=house.keys["team-a"], b=house.keys["team-b"])
    assert (await house.post(said("hi"), ("authorization", given))).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        [("x-manta-tenant", "team-b")],
        [("X-Manta-Tenant", "team-b")],
        [("x-manta-tenant", "team-a"), ("x-manta-tenant", "team-b")],
        [("x-manta-tenant", "team-b"), ("X-MANTA-TENANT", "team-a")],
        [("x-manta-tenant", "team-a, team-b")],
        [("x-manta-tenant", "TEAM-A")],
        [("x-manta-tenant", "")],
    ],
)
async def test_nobody_speaks_for_another_tenant(house: House, headers: list[tuple[str, str]]) -> None:
    assert (await house.post(said("hi"), house.bearer("team-a"), *headers)).status_code == 403
    assert not house.model.asked


async def test_what_only_looks_like_the_tenants_header_is_not_it(house: House) -> None:
    for name in ("x_manta_tenant", "x-manta-tenant-id", "manta-tenant", "x-manta--tenant"):
        answer = await house.post(said(name), house.bearer("team-a"), (name, "team-b"))
        assert answer.status_code == 200
    assert {tenant for tenant, _ in house.model.asked} == {"team-a"}


async def test_who_may_choose_a_tenant_chooses_one(house: House) -> None:
    both = [("x-manta-tenant", "team-a"), ("x-manta-tenant", "team-b")]
    for credential in (house.bearer("ops"), ("x-manta-gateway", SECRET)):
        assert (await house.post(said("hi"), credential, *both)).status_code == 400
        assert (await house.post(said("hi"), credential, ("x-manta-tenant", "a b"))).status_code == 400
        assert (await house.post(said("hi"), credential, both[1])).status_code == 200


@pytest.mark.parametrize("given", ["", " ", SECRET[:-1], SECRET + "x", SECRET.upper(), "\xe9"])
async def test_half_a_proof_is_worse_than_none(house: House, given: str) -> None:
    """A gateway whose secret is wrong does not fall back to the key that came with it, unless it sent nothing."""
    headers = [
        (b"authorization", house.bearer("team-a")[1].encode()),
        (b"x-manta-gateway", given.encode("latin-1")),
    ]
    answer = await house.client.post(
        CHAT, json=said("hi"), headers=[*headers, (b"x-manta-tenant", b"team-b")]
    )
    assert answer.status_code == (403 if not given.strip() else 401)


@pytest.mark.parametrize(
    "path",
    [
        "/metrics/", "//metrics", "/METRICS", "/v1/../metrics", "/metrics%00", "/metrics;x", "/./metrics",
        "/healthz/../metrics", "/healthz/metrics", "/%2e%2e/metrics",
    ],
)  # fmt: skip
async def test_no_spelling_of_a_path_gets_round_its_role(house: House, path: str) -> None:
    request = house.client.build_request("GET", "http://manta/")
    request.url = request.url.copy_with(raw_path=path.encode())
    assert (await house.client.send(request)).status_code in (401, 404)
    request.headers["authorization"] = house.bearer("team-a")[1]
    answer = await house.client.send(request)
    assert answer.status_code in (403, 404, 405)
    assert "# HELP" not in answer.text


# ---------------------------------------------------------------- to be read twice, and differently


async def test_a_key_that_stands_twice_is_the_same_one_for_all_who_look(house: House) -> None:
    clean, dirty = (json.dumps([{"role": "user", "content": text}]) for text in ("hello", f"it is {CARD}"))
    bodies = [
        f'{{"model":"mock","messages":{clean},"messages":{dirty}}}',
        f'{{"model":"nobody","messages":{dirty},"model":"mock"}}',
        f'{{"model":"mock","messages":[{{"role":"user","content":"x","content":"{CARD}"}}]}}',
        f'{{"model":"mock","messages":[{{"role":"user","content":"x","\\u0063ontent":"{CARD}"}}]}}',
    ]
    for body in bodies:
        answer = await house.post(body.encode(), house.bearer("team-a"))
        assert answer.status_code == 200
        assert answer.headers["x-manta-guard"] == "in:redact card=1"
    assert "4111" not in json.dumps(house.model.asked)
    assert {body["model"] for _, body in house.model.asked} == {"mock"}
    await asyncio.sleep(0.05)  # usage is counted behind the answer's back
    rows = (await house.client.get("/v1/usage", headers=[house.bearer("team-a")])).json()["data"]
    assert [row["model"] for row in rows] == ["mock"]


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f9d1\u200d\U0001f680" * 1000, "e\u0301" * 5000, "\ufdfa" * 9000, "a\u0300" * 5000, "\u202e" * 9000,
        "\x00\x1f\x7f" * 3000, "\u2028\u2029" * 4000, "\ufeff" + "1" * 30_000, "\U000e0041" * 4000,
        "\u0130\u0131" * 4000,
    ],
)  # fmt: skip
async def test_no_text_is_too_odd(house: House, text: str) -> None:
    for is_stream in (False, True):
        answer = await house.post(said(text, stream=is_stream, max_tokens=3), house.bearer("team-a"))
        assert answer.status_code in (200, 400), answer.text
    answer = await house.post(
        {"model": "embed", "input": text}, house.bearer("team-a"), path="/v1/embeddings"
    )
    assert answer.status_code in (200, 400), answer.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"mock","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"mock","messages":[{"role":"user","content":"\\ud83d\\u0041"}]}',
        b'{"model":"mock","messages":' + b"[" * 5000,
        b'{"model":"mock","messages":[{"role":"user","content":"\xff"}]}',
        b'\xef\xbb\xbf{"model":"mock"}',
        b'{"model":"mock","max_tokens":' + b"9" * 5000 + b"}",
        b'{"model":"mock","temperature":1e999}',
        b'{"model":["mock"],"messages":{}}',
    ],
)
async def test_bodies_that_break_parsers_are_the_clients_fault(house: House, body: bytes) -> None:
    answer = await house.post(body, house.bearer("team-a"))
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "name", ["x-request-id", "x-manta-session", "x-manta-user", "traceparent", "cache-control", "x-model-id"]
)
async def test_an_oversized_header_is_no_fault_of_ours(house: House, name: str) -> None:
    for value in ("a" * 60_000, "a," * 20_000, "\xff" * 5000):
        answer = await house.client.post(
            CHAT,
            json=said("hi"),
            headers=[
                (b"authorization", house.bearer("team-a")[1].encode()),
                (name.encode(), value.encode("latin-1")),
            ],
        )
        assert answer.status_code < 500


# ---------------------------------------------------------------- to get past the guards


async def test_what_is_embedded_is_looked_at(house: House) -> None:
    path, bearer = "/v1/embeddings", house.bearer("team-a")
    answer = await house.post({"model": "embed", "input": ["ok", f"it is {CARD}"]}, bearer, path=path)
    assert answer.headers["x-manta-guard"] == "in:redact card=1"
    assert house.embedder.asked[-1][1]["input"] == ["ok", "it is [CARD]"]
    refused = await house.post({"model": "embed", "input": "how to make a bomb"}, bearer, path=path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "content_filter")
    for tokens in ([1, 2, 3], [[1, 2], [3]]):
        assert (await house.post({"model": "embed", "input": tokens}, bearer, path=path)).status_code == 400
    assert len(house.embedder.asked) == 1


async def test_a_prompt_of_tokens_says_nothing_to_a_guard(house: House) -> None:
    for prompt in ([1, 2, 3], [[1, 2, 3]]):
        body = {"model": "mock", "prompt": prompt, "max_tokens": 2}
        answer = await house.post(body, house.bearer("team-a"), path="/v1/completions")
        assert answer.status_code == 400
    assert not house.model.asked


async def test_a_question_by_mcp_is_looked_at(house: House, agent: Any) -> None:
    call: JsonObject = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    accept = ("accept", "application/json, text/event-stream")
    for question, is_error in ((f"it is {CARD}", False), ("how to make a bomb", True)):
        call["params"] = {"name": "ask", "arguments": {"question": question}}
        answer = await house.post(call, house.bearer("team-a"), accept, path="/mcp")
        assert answer.status_code == 200, answer.text
        assert ("content_filter" in answer.text or '"isError":true' in answer.text) is is_error
    assert [one.question for one in agent.questions] == ["it is [CARD]"]


# ---------------------------------------------------------------- to find another tenant's answers


async def test_nobody_finds_anothers_answers(house: House) -> None:
    body = said("what is our secret?")
    first = await house.post(body, house.bearer("team-a"))
    again = await house.post(body, house.bearer("team-a"))
    assert [one.headers["x-manta-cache"] for one in (first, again)] == ["miss", "hit"]
    for more in ((), (("x-manta-cache", "semantic"),), (("cache-control", "max-age=999999"),)):
        body = said("what is our secret?", user="team-a", metadata={"tenant": "team-a"})
        answer = await house.post(body, house.bearer("team-b"), *more)
        assert answer.headers["x-manta-cache"] in ("miss", "hit")
    assert [tenant for tenant, _ in house.model.asked] == ["team-a", "team-b"]


async def test_nobody_waits_for_anothers_answer_to_the_same_question(house: House) -> None:
    asked = [house.post(said("at once"), house.bearer(tenant)) for tenant in ("team-a", "team-b") * 3]
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(tenant for tenant, _ in house.model.asked) == ["team-a", "team-b"]
