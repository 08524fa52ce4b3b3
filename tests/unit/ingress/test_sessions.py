from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from starlette.datastructures import Headers

from configs.schema import IngressConfig
from serve_app.errors import BadRequest
from serve_app.identity.base import Principal
from serve_app.ingress.app import create_app
from serve_app.ingress.door.users import read_user
from serve_app.ingress.services import Services
from serve_app.messages import Deadline, RequestContext
from serve_app.sessions.base import SessionKey
from serve_app.sessions.memory import MemorySessions

CONTEXT = RequestContext("r", "acme", Deadline.after(86_400))
TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
ANN = {"x-manta-tenant": "acme", "x-manta-user": "ann"}


@pytest.fixture
async def store() -> MemorySessions:
    store = MemorySessions()
    for name in ("one", "two"):
        key = SessionKey("acme", "ann", name)
        await store.append(key, TURNS, await store.load(key, CONTEXT), CONTEXT)
    return store


@pytest.fixture
async def client(
    config: IngressConfig, services: Services, store: MemorySessions
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(config, replace(services, sessions=store))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://manta") as one:
        yield one


async def test_a_user_lists_reads_and_deletes_their_own(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/sessions", headers=ANN)).json()
    assert [one["id"] for one in listed["data"]] == ["two", "one"]
    assert listed["data"][0]["num_messages"] == 2
    read = (await client.get("/v1/sessions/one", headers=ANN)).json()
    assert read["messages"] == TURNS
    assert read["summary"] is None
    assert read["created_at"].endswith("+00:00")
    deleted = await client.delete("/v1/sessions/one", headers=ANN)
    assert deleted.json() == {"object": "session.deleted", "id": "one", "deleted": True}
    for method in ("GET", "DELETE"):
        assert (await client.request(method, "/v1/sessions/one", headers=ANN)).status_code == 404
    assert [one["id"] for one in (await client.get("/v1/sessions", headers=ANN)).json()["data"]] == ["two"]


@pytest.mark.parametrize(
    "who",
    [
        {},
        {"x-manta-tenant": "acme"},
        {"x-manta-tenant": "evil", "x-manta-user": "ann"},
        {**ANN, "x-manta-user": "bob"},
    ],
)
async def test_others_find_nothing(client: httpx.AsyncClient, who: dict[str, str]) -> None:
    assert (await client.get("/v1/sessions", headers=who)).json()["data"] == []
    for method in ("GET", "DELETE"):
        assert (await client.request(method, "/v1/sessions/one", headers=who)).status_code == 404
    assert (await client.get("/v1/sessions/one", headers=ANN)).status_code == 200


@pytest.mark.parametrize("name", ["%20", "a%2Fb", "-x", "a" * 129, "%7B%7D"])
async def test_a_strange_name_is_refused(client: httpx.AsyncClient, name: str) -> None:
    response = await client.get(f"/v1/sessions/{name}", headers=ANN)
    assert response.status_code in (400, 404)
    answer = await client.post("/v1/agent/answers", json={"question": "q", "session": name}, headers=ANN)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "session"


async def test_without_a_store_there_are_no_sessions(config: IngressConfig, services: Services) -> None:
    app = create_app(config, services)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://manta") as one:
        response = await one.get("/v1/sessions")
    assert response.status_code == 404
    assert "configure" in response.json()["error"]["message"]


async def test_the_agent_is_told_which_conversation_and_whose(client: httpx.AsyncClient, agent) -> None:
    await client.post("/v1/agent/answers", json={"question": "q", "session": "one"}, headers=ANN)
    asked = agent.questions[0]
    assert (asked.session_id, asked.user_id) == ("one", "ann")


def user(who: Principal | None, *names: str) -> str:
    return read_user(Headers(raw=[(b"x-manta-user", name.encode()) for name in names]), who)


def test_nobody_becomes_another_keys_user_by_naming_them() -> None:
    one, other = Principal("key", "k1", "acme"), Principal("key", "k2", "acme")
    token = Principal("token", "https://issuer#k1", "acme")
    named = {user(who, *names) for who in (one, other, token, None) for names in ((), ("ann",))}
    assert len(named) == 8
    assert user(Principal("gateway", "gateway", None), "ann") == "ann"


@pytest.mark.parametrize("names", [("a", "b"), ("",), (" a",), ("a" * 129,), ("\x1fa",), ("\u00e9",)])
def test_a_name_that_is_none_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest):
        user(None, *names)
