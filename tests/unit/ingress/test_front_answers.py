"""The steps before the models, over the real routes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from configs.schema import FrontConfig, GroupConfig, IngressConfig, MemberConfig
from serve_app.errors import Unavailable
from serve_app.front.parts import open_front
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services
from serve_app.routing.router import group_cards
from serve_app.telemetry.metrics import count_nothing

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
BODY = {"model": "chat", "messages": [{"role": "user", "content": "hello there"}], "temperature": 0}
GROUP = GroupConfig(name="chat", members=(MemberConfig(model="broken"),), fallbacks=("mock",))


class Broken:
    """A model whose replicas are gone."""

    async def respond(self, *args: Any) -> bytes:
        raise Unavailable("it is gone")

    async def stream(self, *args: Any) -> AsyncIterator[bytes]:
        raise Unavailable("it is gone")
        yield b""


@pytest.fixture
def behind(services: Services, config: IngressConfig) -> Callable[..., Any]:
    @asynccontextmanager
    async def opened(**front: Any) -> AsyncIterator[httpx.AsyncClient]:
        fronts = FrontConfig(**front)
        cards = services.cards | {"broken": replace(services.cards["mock"], name="broken")}
        models = {name: card for name, card in cards.items() if card.engine == "mock" and name != "embed"}
        groups, without = group_cards(fronts.groups, models)
        one = replace(
            services,
            models={**services.models, "broken": Broken()},
            cards=cards | groups,
            left_out={**services.left_out, **without},
            front=open_front(fronts, models, count_nothing),
        )
        transport = httpx.ASGITransport(app=create_app(config, one))
        async with httpx.AsyncClient(transport=transport, base_url="http://manta") as client:
            yield client

    return opened


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_group_answers_like_a_model(behind: Any, path: str, *, is_stream: bool) -> None:
    said = {"messages": BODY["messages"]} if path == CHAT else {"prompt": "hello"}
    body = {"model": "chat", "stream": is_stream, **said}
    async with behind(groups=(GROUP,)) as client:
        answer = await client.post(path, json=body)
        plain = await client.post(path, json=body | {"model": "mock"})
    assert answer.status_code == plain.status_code == 200
    assert answer.headers["x-manta-model"] == "mock"
    assert answer.headers["x-manta-route"] == "chat; fallback; after=unavailable"
    assert "x-manta-route" not in plain.headers
    assert answer.headers["content-type"] == plain.headers["content-type"]
    if is_stream:
        assert answer.text.endswith("data: [DONE]\n\n")
        assert json.loads(answer.text.splitlines()[0][6:])["model"] == "mock"


async def test_errors_keep_their_status(behind: Any) -> None:
    group = GROUP.model_copy(update={"fallbacks": ()})
    async with behind(groups=(group,)) as client:
        for is_stream in (False, True):
            answer = await client.post(CHAT, json=BODY | {"stream": is_stream})
            assert answer.status_code == 503
        wrong = await client.post(CHAT, json=BODY, headers={"x-model-id": "other"})
        assert wrong.status_code == 400
        assert wrong.json()["error"]["param"] == "x-model-id"


async def test_groups_are_listed_and_one_without_models_is_left_out(behind: Any) -> None:
    gone = GroupConfig(name="gone", members=(MemberConfig(model="nothere"),))
    async with behind(groups=(GROUP, gone)) as client:
        listed = (await client.get("/v1/models")).json()["data"]
        assert "chat" in {model["id"] for model in listed}
        answer = await client.post(CHAT, json=BODY | {"model": "gone"})
    assert answer.status_code == 404
    assert "not loaded" in answer.json()["error"]["message"]


def test_nothing_stands_in_front_where_nothing_is_configured(services: Services) -> None:
    assert open_front(FrontConfig(), services.cards, count_nothing) is None
