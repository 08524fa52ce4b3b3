"""The door before the real routes, over HTTP in process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from configs.schema import (
    AuditConfig,
    AuthenticationConfig,
    DoorConfig,
    GatewayConfig,
    IngressConfig,
    KeysConfig,
    LimitsConfig,
    PriceConfig,
    SecretRef,
    TenantConfig,
)
from serve_app.identity.base import Role
from serve_app.identity.embedded_keys import EmbeddedKeyStore
from serve_app.identity.keys import make_key
from serve_app.ingress.app import create_app
from serve_app.ingress.door.door import Door
from serve_app.ingress.door.parts import open_door
from serve_app.ingress.services import Services
from serve_app.limits.tally import Tally
from serve_app.telemetry.metrics import (
    BUDGET_USED,
    TENANT_COST,
    TENANT_REFUSED,
    TENANT_REQUESTS,
    TENANT_TOKENS,
    Metric,
)
from serve_app.telemetry.spans import Tracer

CHAT = "/v1/chat/completions"
BODY = {"model": "mock", "messages": [{"role": "user", "content": "hello there"}]}
SECRET = "the gateway's own secret"
KEYS = AuthenticationConfig(keys=KeysConfig(poll_s=0.1), gateway=GatewayConfig(secret=SecretRef(env="GW")))


class House:
    """An application with a door."""

    def __init__(self, app: FastAPI, door: Door, folder: Path, client: httpx.AsyncClient) -> None:
        self.app = app
        self.door = door
        self.client = client
        self._folder = folder
        self.store = EmbeddedKeyStore(folder / "door" / "keys.sqlite3")

    async def key(self, tenant: str = "team-a", role: Role = Role.USER, **limits: Any) -> str:
        made = make_key("test", tenant, role, time.time(), limits=LimitsConfig(**limits) if limits else None)
        await self.store.put(made.record)
        ring = self.door._authenticator._keys
        if ring is not None:
            await ring.refresh()  # as it does by itself a moment later
        return made.key

    async def ask(self, key: str | None = None, path: str = CHAT, body: object = BODY, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named["authorization"] = f"Bearer {key}"
        return await self.client.post(path, json=body, headers=named)

    async def get(self, path: str, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return await self.client.get(path, headers=headers)

    async def audit(self) -> list[dict[str, Any]]:
        await self.door.close()
        file = self._folder / "audit" / "ingress-0.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()]


Open = Callable[..., Any]


@pytest.fixture
def house(services: Services, config: IngressConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.setenv("GW", SECRET)

    @asynccontextmanager
    async def opened(
        tally: Tally | None = None, tracer: Tracer | None = None, **door_config: Any
    ) -> AsyncIterator[House]:
        door_config = {"authentication": KEYS, "audit": AuditConfig(), **door_config}
        door = open_door(DoorConfig(**door_config), config, tmp_path, services.cards, "manta", tally=tally)
        assert door is not None
        app = create_app(config, services, door=door, tracer=tracer)
        running = asyncio.create_task(door.run())
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://manta") as client:
            yield House(app, door, tmp_path, client)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await door.close()

    return opened


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    return error


def test_where_nothing_is_configured_there_is_no_door(config: IngressConfig, tmp_path: Path) -> None:
    assert open_door(DoorConfig(), config, tmp_path, (), "manta") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("door_config", [{"fair_shares": True}, {"audit": {}}])
async def test_a_door_stays_open_that_has_nothing_to_keep_up_to_date(
    config: IngressConfig, tmp_path: Path, door_config: dict[str, Any]
) -> None:
    door = open_door(DoorConfig(**door_config), config, tmp_path, (), "manta")
    assert door is not None
    running = asyncio.create_task(door.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await door.close()


@pytest.mark.parametrize("path", ["/healthz", "/", "/docs", "/openapi.json"])
async def test_probes_need_no_key(house: Open, path: str) -> None:
    async with house() as one:
        assert (await one.get(path)).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/usage", "/metrics", "/v1/knowledge/status", "/nothing", "/healthz/"],
)
async def test_everything_else_does(house: Open, path: str) -> None:
    async with house() as one:
        response = await one.get(path)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert error_of(response)["code"] == "invalid_api_key"
        assert response.headers["x-request-id"]


async def test_a_key_opens(house: Open) -> None:
    async with house() as one:
        key = await one.key()
        assert (await one.ask(key)).status_code == 200
        assert (await one.get("/v1/models", key)).status_code == 200


async def test_a_body_is_not_read_for_nobody(house: Open) -> None:
    async with house() as one:
        response = await one.client.post(CHAT, content=b"{" * 70_000, headers={"content-type": "x"})
        assert response.status_code == 401


async def test_a_revoked_key_is_refused_soon(house: Open) -> None:
    async with house() as one:
        key = await one.key()
        assert (await one.ask(key)).status_code == 200
        record = (await one.store.changes(0)).records[0]
        await one.store.put(replace(record, revoked_at_s=time.time()))
        async with asyncio.timeout(5):
            while (await one.ask(key)).status_code == 200:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.02)
        assert "revoked" in error_of(await one.ask(key))["message"]


async def test_metrics_are_for_operators(house: Open) -> None:
    async with house() as one:
        user, operator = await one.key(), await one.key(role=Role.OPERATOR)
        assert (await one.get("/metrics", operator)).status_code == 200
        refused = await one.get("/metrics", user)
        assert (refused.status_code, error_of(refused)["code"]) == (403, "permission_denied")


async def test_a_forged_tenant_is_refused(house: Open) -> None:
    document = {"source": "s", "documents": [{"path": "a.md", "content_text": "x", "text": "x"}]}
    async with house() as one:
        key = await one.key("team-a")
        assert (await one.ask(key, x_manta_tenant="team-a")).status_code == 200
        for path, body in ((CHAT, BODY), ("/v1/knowledge/documents", document)):
            refused = await one.ask(key, path, body, x_manta_tenant="team-b")
            assert (refused.status_code, error_of(refused)["code"]) == (403, "permission_denied")
        assert (await one.ask(key, x_manta_tenant="team-b", x_manta_gateway="guess")).status_code == 401
        admin = await one.key("ops", Role.ADMIN)
        assert (await one.ask(admin, x_manta_tenant="team-b")).status_code == 200


async def test_a_gateway_speaks_for_tenants(house: Open, agent: Any) -> None:
    async with house() as one:
        body = {"question": "what glides?"}
        headers = {"x_manta_gateway": SECRET, "x_manta_tenant": "team-z"}
        assert (await one.ask("sk-of-the-gateway", "/v1/agent/answers", body, **headers)).status_code == 200
        assert agent.contexts[-1].tenant == "team-z"
        assert (await one.ask(None, x_manta_tenant="team-z")).status_code == 401


async def test_a_key_in_the_url_is_refused_and_written_nowhere(house: Open) -> None:
    async with house() as one:
        key = await one.key()
        for url in (f"/v1/models?api_key={key}", f"/v1/models/{key}"):
            response = await one.get(url, key)
            assert response.status_code == 400
            assert key not in response.text
        assert all(key.split("_")[2] not in json.dumps(line) for line in await one.audit())


async def test_ten_thousand_unknown_keys_leave_room_for_a_known_one(house: Open, tmp_path: Path) -> None:
    async with house() as one:
        key = await one.key()
        assert (await one.ask(key)).status_code == 200
        statuses = set()
        for _ in range(500):  # the same over HTTP; 10,000 of them in test_key_ring
            statuses.add((await one.get("/v1/models", make_key("x", "t", Role.USER, 0.0).key)).status_code)
        assert statuses == {401}
        assert (await one.ask(key)).status_code == 200
        lines = await one.audit()
        assert len([line for line in lines if line["verdict"] == "invalid_api_key"]) < 400


async def test_no_secret_is_printed(house: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with house() as one:
        key = await one.key()
        texts = [
            (await one.ask(key)).text,
            (await one.ask(key[:-1] + "a")).text,
            (await one.ask("x" + key)).text,
        ]
        texts += [repr(one.door.__dict__), json.dumps(await one.audit()), caplog.text]
        assert all(key.split("_")[2][:40] not in text for text in texts)
        assert all(SECRET not in text for text in texts)


class Traced:
    """A tracer, and its own only span: all that it is told."""

    captures_content = True
    is_recorded = True
    traceparent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

    def __init__(self) -> None:
        self.told: list[object] = []

    def start(self, *told: object) -> Traced:
        self.told.append(told)
        return self

    def set(self, *told: object) -> None:
        self.told.append(told)

    rename = event = fail = set

    def end(self) -> None:
        self.told.append("end")


async def test_no_secret_is_traced(house: Open) -> None:
    traced = Traced()
    async with house(tracer=traced) as one:
        key = await one.key()
        wrong = key[:-10] + ("b" if key[-10] == "a" else "a") + key[-9:]
        assert (await one.ask(key)).status_code == 200
        assert (await one.ask(wrong)).status_code == 401
        assert (await one.ask(key, x_manta_gateway=SECRET)).status_code == 200
        for path in (f"/v1/models/{key}", f"/v1/models?api_key={key}"):
            assert (await one.get(path, key)).status_code == 400
    assert traced.told.count("end") == 5
    assert key.split("_")[2][:40] not in repr(traced.told)
    assert SECRET not in repr(traced.told)


async def test_requests_are_limited_as_openai_does(house: Open) -> None:
    async with house() as one:
        key = await one.key(requests_per_min=6, burst_requests=3)
        answers = [await one.ask(key) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "6"
        assert [one.headers["x-ratelimit-remaining-requests"] for one in answers] == ["2", "1", "0", "0"]
        refused = answers[-1]
        assert 8 <= int(refused.headers["retry-after"]) <= 10
        assert error_of(refused) == {
            "message": error_of(refused)["message"],
            "type": "rate_limit_error",
            "param": None,
            "code": "rate_limit_exceeded",
        }
        assert "6 requests a minute" in error_of(refused)["message"]
        other = await one.key()
        assert (await one.ask(other)).status_code == 200


async def test_tokens_are_settled_by_what_was_used(house: Open) -> None:
    async with house() as one:
        key = await one.key(tokens_per_min=1000)
        first = await one.ask(key, body=BODY | {"max_tokens": 900})
        used = first.json()["usage"]["total_tokens"]
        assert int(first.headers["x-ratelimit-remaining-tokens"]) < 100
        await asyncio.sleep(0.05)  # the settlement is sent behind the answer's back
        second = await one.ask(key, body=BODY | {"max_tokens": 1})
        assert int(second.headers["x-ratelimit-remaining-tokens"]) >= 990 - used - 10


async def stream_usage(one: House, key: str, body: dict[str, Any]) -> dict[str, Any]:
    await one.ask(key, body=body | {"stream": True})
    rows = (await one.get("/v1/usage", key)).json()["data"]
    found: dict[str, Any] = next(row for row in rows if row["model"] == "mock")
    return found


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
async def test_streams_are_counted(house: Open, options: dict[str, Any]) -> None:
    async with house(prices={"mock": PriceConfig(usd_per_million_answer_tokens=2)}) as one:
        key = await one.key()
        row = await stream_usage(one, key, BODY | {"max_tokens": 5} | options)
        assert (row["requests"], row["answer_tokens"], row["tenant"]) == (1, 5, "team-a")
        assert row["usd"] == pytest.approx(5 * 2e-6)
        assert row["prompt_tokens"] > 0


async def test_a_stream_that_the_client_leaves_is_counted(
    house: Open, raw_call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.limits.limiter.RELEASE_S", 0.0)  # the mock would be done by then
    async with house(tenant_limits=LimitsConfig(max_concurrent=1)) as one:
        key = await one.key()
        body = BODY | {"max_tokens": 300, "stream": True, "ignore_eos": True}
        call = raw_call(CHAT, body, on=one.app, authorization=f"Bearer {key}")
        await call.wait_for(8)
        held = await one.ask(key)
        assert (held.status_code, "1 requests at once" in error_of(held)["message"]) == (429, True)
        await call.leave()
        async with asyncio.timeout(5):
            while (await one.ask(key)).status_code == 429:  # noqa: ASYNC110 (likewise)
                await asyncio.sleep(0.01)
        rows = (await one.get("/v1/usage", key)).json()["data"]
        assert rows[0]["answer_tokens"] >= 5


async def test_a_budget_ends_and_says_when_it_begins_again(house: Open) -> None:
    limits = LimitsConfig(usd_per_day=0.001)
    prices = {"mock": PriceConfig(usd_per_million_answer_tokens=100)}
    async with house(tenants=(TenantConfig(name="team-a", limits=limits),), prices=prices) as one:
        key = await one.key("team-a")
        statuses = [(await one.ask(key, body=BODY | {"max_tokens": 5})).status_code for _ in range(4)]
        assert statuses == [200, 200, 429, 429]  # 5 tokens for 0.0005 dollars each
        refused = await one.ask(key, body=BODY | {"max_tokens": 5})
        assert error_of(refused)["code"] == "insufficient_quota"
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert (await one.ask(await one.key("team-b"))).status_code == 200


async def test_usage_of_others_is_for_operators(house: Open) -> None:
    async with house() as one:
        a, b, operator = await one.key("a"), await one.key("b"), await one.key("ops", Role.OPERATOR)
        await one.ask(a)
        await one.ask(b)
        tenants = [row["tenant"] for row in (await one.get("/v1/usage", a)).json()["data"]]
        assert tenants == ["a"]
        assert (await one.get("/v1/usage?tenant=b", a)).status_code == 403
        every = (await one.get("/v1/usage", operator)).json()["data"]
        assert {row["tenant"] for row in every} == {"a", "b"}
        only = (await one.get("/v1/usage?tenant=b", operator)).json()["data"]
        assert {row["tenant"] for row in only} == {"b"}


async def test_usage_outlives_the_process(house: Open) -> None:
    async with house() as one:
        key = await one.key()
        await one.ask(key)
    async with house() as again:
        await again.ask(key)
        (row,) = (await again.get("/v1/usage", key)).json()["data"]
        assert row["requests"] == 2


async def test_made_up_models_are_counted_as_none(house: Open) -> None:
    async with house() as one:
        key = await one.key()
        assert (await one.ask(key, body=BODY | {"model": "made-up"})).status_code == 404
        (row,) = (await one.get("/v1/usage", key)).json()["data"]
        assert (row["model"], row["answer_tokens"]) == ("", 0)


async def test_a_line_is_written_for_each_decision(house: Open) -> None:
    traceparent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    async with house() as one:
        key = await one.key(max_concurrent=1)
        await one.ask(key, body=BODY | {"max_tokens": 5}, traceparent=traceparent, x_request_id="r1")
        await one.ask(key, x_manta_tenant="other")
        await one.ask("wrong")
        await one.get("/healthz")
        lines = await one.audit()
        assert [(line["verdict"], line["status"]) for line in lines] == [
            ("allowed", 200),
            ("permission_denied", 403),
            ("invalid_api_key", 401),
        ]
        first = lines[0]
        assert (first["tenant"], first["role"], first["kind"]) == ("team-a", "user", "key")
        assert (first["model"], first["num_answer_tokens"], first["request_id"]) == ("mock", 5, "r1")
        assert first["trace_id"] == "0123456789abcdef0123456789abcdef"
        assert first["who"] == key.split("_")[1]
        assert "who" not in lines[2]
        assert "hello there" not in json.dumps(lines)


async def test_limits_without_keys_are_by_the_tenant_that_is_named(house: Open) -> None:
    limits = LimitsConfig(requests_per_min=1)
    async with house(authentication=AuthenticationConfig(), tenant_limits=limits) as one:
        assert (await one.ask(x_manta_tenant="a")).status_code == 200
        assert (await one.ask(x_manta_tenant="a")).status_code == 429
        assert (await one.ask(x_manta_tenant="b", authorization="Basic whatever")).status_code == 200


async def test_what_a_tenant_uses_costs_and_is_refused_is_told_as_metrics(house: Open) -> None:
    told: dict[tuple[str, ...], float] = {}

    def count(metric: Metric, amount: float = 1.0, **labels: str) -> None:
        key = metric.name, *labels.values()
        told[key] = told.get(key, 0.0) + amount

    def put(metric: Metric, value: float, **labels: str) -> None:
        told[metric.name, *labels.values()] = value

    tally = Tally(count, put)
    price = PriceConfig(usd_per_million_prompt_tokens=1e6, usd_per_million_answer_tokens=1e6)
    limits = LimitsConfig(usd_per_day=40.0)
    async with house(tally=tally, prices={"mock": price}, tenant_limits=limits) as one:
        key = await one.key("team-a")
        statuses = [(await one.ask(key, body={**BODY, "max_tokens": 4})).status_code for _ in range(12)]
    tokens = sum(told[TENANT_TOKENS.name, "team-a", "mock", kind] for kind in ("prompt", "completion"))
    assert told[TENANT_REQUESTS.name, "team-a", "mock"] == statuses.count(200) > 0
    assert told[TENANT_COST.name, "team-a", "mock"] == pytest.approx(tokens)
    assert told[TENANT_REFUSED.name, "team-a", "mock", "day"] == statuses.count(429) > 0
    assert 0.5 < told[BUDGET_USED.name, "tenant:team-a", "day"] <= 1.0
