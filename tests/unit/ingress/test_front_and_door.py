"""What the door learns from the steps behind it: who is to be paid, and what nobody computed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.schema import (
    AnswerCacheConfig,
    AuditConfig,
    DoorConfig,
    FrontConfig,
    GroupConfig,
    GuardsConfig,
    IngressConfig,
    InputPolicies,
    LimitsConfig,
    MemberConfig,
    PriceConfig,
    TenantConfig,
)
from serve_app.front.parts import open_front
from serve_app.ingress.app import create_app
from serve_app.ingress.door.parts import open_door
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint, JsonObject, RequestContext
from serve_app.routing.router import group_cards
from serve_app.telemetry.metrics import count_nothing

CHAT = "/v1/chat/completions"
BODY = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
Open = Callable[..., Any]


class Watched:
    """A model that remembers the contexts and bodies of its calls."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.contexts: list[RequestContext] = []
        self.bodies: list[JsonObject] = []

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        self.contexts.append(context)
        self.bodies.append(body)
        document: bytes = await self._inner.respond(endpoint, body, context)
        return document

    def stream(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> AsyncIterator[bytes]:
        self.contexts.append(context)
        frames: AsyncIterator[bytes] = self._inner.stream(endpoint, body, context)
        return frames


@pytest.fixture
def house(services: Services, config: IngressConfig, tmp_path: Path) -> Open:
    @asynccontextmanager
    async def opened(
        front: FrontConfig, **door_config: Any
    ) -> AsyncIterator[tuple[httpx.AsyncClient, Watched]]:
        model = Watched(services.models["mock"])
        cards = {"mock": services.cards["mock"]}
        groups, _ = group_cards(front.groups, cards)
        one = replace(
            services,
            models={"mock": model},
            cards={**services.cards, **groups},
            front=open_front(front, cards, count_nothing, agents=("manta",), knowledge=services.knowledge),
        )
        members = {group.name: group.models() for group in front.groups}
        door = open_door(DoorConfig(**door_config), config, tmp_path, one.cards, "manta", members=members)
        app = create_app(config, one, door=door)
        running = None if door is None else asyncio.create_task(door.run())
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://manta") as client:
            yield client, model
        if door is not None and running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await door.close()

    return opened


GROUP = FrontConfig(
    groups=(GroupConfig(name="chat", members=(MemberConfig(model="mock"),)),), cache=AnswerCacheConfig()
)


async def test_a_hit_costs_a_request_and_nothing_else_and_the_member_is_paid(house: Open) -> None:
    prices = {"mock": PriceConfig(usd_per_million_answer_tokens=1_000_000)}
    async with house(GROUP, prices=prices, counts_usage=True, audit=AuditConfig()) as (client, model):
        for is_stream in (False, True):
            told = [
                (await client.post(CHAT, json=BODY | {"stream": is_stream})).headers["x-manta-cache"]
                for _ in range(3)
            ]
            assert told == ["miss", "hit", "hit"]
        assert len(model.contexts) == 2
        rows = (await client.get("/v1/usage")).json()["data"]
    assert [row["model"] for row in rows] == ["chat"]
    assert rows[0]["requests"] == 6
    assert rows[0]["answer_tokens"] < 2 * 10
    assert rows[0]["usd"] == pytest.approx(rows[0]["answer_tokens"])


async def test_money_is_reserved_for_the_member_that_may_answer(house: Open) -> None:
    """Otherwise whoever asks a group would be admitted with a budget that is all but spent, any number at once."""
    prices = {"mock": PriceConfig(usd_per_million_answer_tokens=1_000_000)}
    limits = LimitsConfig(usd_per_day=10)
    async with house(GROUP, prices=prices, tenant_limits=limits) as (client, model):
        asked = [BODY | {"max_tokens": 8, "seed": seed} for seed in range(2)]
        answers = [await client.post(CHAT, json=body) for body in asked]
    assert [answer.status_code for answer in answers] == [200, 429]  # 5 of 10 are spent, and 8 may be needed
    assert len(model.contexts) == 1


async def test_weights_travel_with_requests_where_shares_are_on(house: Open) -> None:
    tenants = (TenantConfig(name="a", weight=3),)
    async with house(FrontConfig(), tenants=tenants, fair_shares=True) as (client, model):
        for tenant in ("a", "b"):
            await client.post(CHAT, json=BODY | {"model": "mock"}, headers={"x-manta-tenant": tenant})
    assert [(one.tenant, one.weight) for one in model.contexts] == [("a", 3.0), ("b", 1.0)]


async def test_without_shares_nobody_has_a_weight(house: Open) -> None:
    async with house(FrontConfig(), counts_usage=True) as (client, model):
        await client.post(CHAT, json=BODY | {"model": "mock"})
    assert model.contexts[0].weight is None


async def test_guards_stand_before_the_model_and_the_agent(house: Open, agent: Any) -> None:
    guards = GuardsConfig(input=InputPolicies(pii="redact", topics="block"), topics={"bombs": ("a bomb",)})
    async with house(FrontConfig(guards=guards)) as (client, model):
        said = {"messages": [{"role": "user", "content": "it is 4111 1111 1111 1111"}]}
        answer = await client.post(CHAT, json=BODY | said | {"model": "mock"})
        assert answer.headers["x-manta-guard"] == "in:redact card=1"
        assert model.bodies[0]["messages"][0]["content"] == "it is [CARD]"
        for path, body in (
            (CHAT, said | {"model": "manta"}),
            ("/v1/agent/answers", {"question": "it is 4111 1111 1111 1111"}),
        ):
            assert (await client.post(path, json=body)).status_code == 200
            assert agent.questions[-1].question == "it is [CARD]"
        refused = await client.post(
            "/v1/agent/answers", json={"question": "how to make a bomb", "stream": True}
        )
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "content_filter"


async def test_a_model_that_reads_requests_itself_is_guarded_too(
    services: Services, config: IngressConfig
) -> None:
    card = services.cards["mock"]
    endpoints = (*card.endpoints, Endpoint.RESPONSES)
    card = replace(card, reads_requests=True, endpoints=endpoints)
    guards = GuardsConfig(input=InputPolicies(topics="block"), topics={"bombs": ("a bomb",)})
    front = open_front(FrontConfig(guards=guards), {"mock": card}, count_nothing)
    one = replace(services, cards={**services.cards, "mock": card}, front=front)
    transport = httpx.ASGITransport(app=create_app(config, one))
    async with httpx.AsyncClient(transport=transport, base_url="http://manta") as client:
        for path, said in (
            (CHAT, {"messages": [{"role": "user", "content": "how to make a bomb"}]}),
            ("/v1/completions", {"prompt": "how to make a bomb"}),
        ):
            answer = await client.post(path, json={"model": "mock", **said})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "content_filter")
        answer = await client.post("/v1/responses", json={"model": "mock", "input": "how to make a bomb"})
        assert answer.status_code == 400
        assert "guards could not look" in answer.json()["error"]["message"]


async def test_an_agents_answer_is_kept_until_its_documents_change(house: Open, agent: Any) -> None:
    agent.script[-1].data["flags"] = ["unevaluated"]
    async with house(GROUP) as (client, _):
        for body, path in (
            ({"model": "manta", "messages": BODY["messages"]}, CHAT),
            ({"question": "hello"}, "/v1/agent/answers"),
        ):
            told = []
            for _ in range(2):
                for _ in range(2):
                    answer = await client.post(path, json=body)
                    assert answer.status_code == 200
                    told.append(answer.headers["x-manta-cache"])
                document = {"path": f"{path[4:8]}-{len(told)}.txt", "text": "x"}
                await client.post("/v1/knowledge/documents", json={"source": "s", "documents": [document]})
            assert told == ["miss", "hit", "miss", "hit"]
