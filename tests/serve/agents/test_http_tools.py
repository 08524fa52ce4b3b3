"""HTTP APIs as tools, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from configs.schema import HeaderSecret, HttpTool, SecretRef
from serve_app.agents.tools.http_tool import HttpApiTool, is_allowed
from serve_app.errors import (
    BadRequest,
    ConfigError,
    DeadlineExceeded,
    EngineFailed,
    Forbidden,
    MantaError,
    Unavailable,
)

TEXT = {"type": "string"}


@pytest.fixture
async def made() -> AsyncIterator[Callable[..., HttpApiTool]]:
    tools: list[HttpApiTool] = []

    def make(url: str, **config: Any) -> HttpApiTool:
        parameters = config.pop("parameters", {"key": TEXT})
        optional = config.pop("optional", tuple(parameters))
        settings = HttpTool(
            name="look",
            kind="http",
            description="Looks.",
            url=url,
            parameters=parameters,
            optional=optional,
            **config,
        )
        tools.append(HttpApiTool(settings))
        return tools[-1]

    yield make
    for one in tools:
        await one.close()


async def test_arguments_stand_where_they_belong(
    api: Any, made: Callable[..., HttpApiTool], within: Any
) -> None:
    tool = made(
        f"{api.url}/echo/cities/{{city}}?lang={{lang}}",
        parameters={"city": TEXT, "lang": TEXT, "day": {"type": "integer"}, "tags": {"type": "array"}},
        optional=(),
    )
    output = await tool.call(
        {"city": "São Paulo/../x?y#z", "lang": "a&b=c", "day": 3, "tags": ["a b", "c"]}, within()
    )
    assert json.loads(output.text)["query"] == {"lang": "a&b=c", "day": "3", "tags": "c"}
    asked = api.requests[0]
    assert asked["raw_path"] == "/echo/cities/S%C3%A3o%20Paulo%2F..%2Fx%3Fy%23z"
    assert asked["query"] == "lang=a%26b%3Dc&day=3&tags=a%20b&tags=c"


@pytest.mark.parametrize("segment", ["..", ".", ""])
async def test_no_argument_climbs_up_the_path(
    api: Any, made: Callable[..., HttpApiTool], within: Any, segment: str
) -> None:
    tool = made(f"{api.url}/echo/{{key}}/x", optional=())
    with pytest.raises(BadRequest):
        await tool.call({"key": segment}, within())
    assert api.requests == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_what_writes_sends_json(
    api: Any, made: Callable[..., HttpApiTool], within: Any, method: str
) -> None:
    tool = made(f"{api.url}/echo/a", method=method, headers={"x-api": "2"})
    await tool.call({"key": "ä"}, within())
    asked = api.requests[0]
    assert (asked["method"], json.loads(asked["body"])) == (method, {"key": "ä"})
    assert asked["headers"]["x-api"] == "2"


async def test_the_secret_goes_into_its_header_and_nowhere_else(
    api: Any, other_api: Any, made: Callable[..., HttpApiTool], within: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "only-for-tests")
    secret = HeaderSecret(prefix="Bearer ", value=SecretRef(env="SHOP_KEY"))
    api.redirect_to = f"{other_api.url}/echo/there"
    tool = made(f"{api.url}/bad/redirect", secret=secret, hosts=(api.netloc, other_api.netloc))
    await tool.call({}, within())
    assert api.requests[0]["headers"]["authorization"] == "Bearer only-for-tests"
    assert "only-for-tests" not in json.dumps(other_api.requests)
    assert len(other_api.requests) == 1
    home = made(f"{api.url}/bad/redirect-home", secret=secret)
    await home.call({}, within())
    assert api.requests[-1]["headers"]["authorization"] == "Bearer only-for-tests"
    assert "only-for-tests" not in repr(tool.spec)


def test_a_secret_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_KEY", raising=False)
    config = HttpTool(
        name="look",
        kind="http",
        description="Looks.",
        url="https://api.example/",
        secret=HeaderSecret(value=SecretRef(env="SHOP_KEY")),
    )
    with pytest.raises(ConfigError, match="the secret of the tool look is missing"):
        HttpApiTool(config)


@pytest.mark.parametrize(
    ("how", "error", "told"),
    [
        ("huge", EngineFailed, "longer than 5000 bytes"),
        ("failed", EngineFailed, "status 500"),
        ("garbage", EngineFailed, "no JSON"),
        ("latin", EngineFailed, "no UTF-8"),
        ("gzip", EngineFailed, "compressed"),
        ("image", EngineFailed, "no text"),
        ("loop", EngineFailed, "more than 3 redirects"),
        ("absent", EngineFailed, "status 404"),
    ],
)
async def test_a_bad_answer_is_an_error_that_says_what_it_is(
    api: Any, made: Callable[..., HttpApiTool], within: Any, how: str, error: type[MantaError], told: str
) -> None:
    with pytest.raises(error, match=told) as caught:
        await made(f"{api.url}/bad/{how}", max_response_bytes=5000).call({}, within())
    assert "hunter2" not in caught.value.message


async def test_a_redirect_to_a_host_that_is_not_allowed_is_not_followed(
    api: Any, other_api: Any, made: Callable[..., HttpApiTool], within: Any
) -> None:
    api.redirect_to = f"{other_api.url}/echo/secret"
    with pytest.raises(Forbidden, match="not allowed"):
        await made(f"{api.url}/bad/redirect").call({}, within())
    assert other_api.requests == []


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "http://me:pw@127.0.0.1/", "http://169.254.169.254/"]
)
async def test_nor_one_to_anything_else(
    api: Any, made: Callable[..., HttpApiTool], within: Any, target: str
) -> None:
    api.redirect_to = target
    with pytest.raises(Forbidden):
        await made(f"{api.url}/bad/redirect").call({}, within())


@pytest.mark.parametrize(
    ("url", "hosts", "is_so"),
    [
        ("https://api.example/x", ["api.example"], True),
        ("https://API.example/x", ["api.example"], True),
        ("https://api.example:443/x", ["api.example"], True),
        ("https://api.example/x", ["api.example:443"], True),
        ("http://api.example/x", ["api.example:443"], False),
        ("https://api.example:8443/x", ["api.example"], False),
        ("https://api.example:8443/x", ["api.example:8443"], True),
        ("https://api.example.evil.example/x", ["api.example"], False),
        ("ftp://api.example/x", ["api.example"], False),
    ],
)
def test_a_host_is_its_name_and_port(url: str, hosts: list[str], is_so: bool) -> None:
    assert is_allowed(httpx.URL(url), hosts) is is_so


async def test_what_writes_follows_no_redirect(
    api: Any, made: Callable[..., HttpApiTool], within: Any
) -> None:
    with pytest.raises(EngineFailed, match="POST does not follow"):
        await made(f"{api.url}/bad/redirect-home", method="POST").call({}, within())
    assert len(api.requests) == 1


async def test_a_server_that_is_not_there(
    made: Callable[..., HttpApiTool], within: Any, free_port: Callable[[], int]
) -> None:
    with pytest.raises(Unavailable, match="ConnectError"):
        await made(f"http://127.0.0.1:{free_port()}/").call({}, within())


@pytest.mark.parametrize("how", ["hang", "drip"])
async def test_the_deadline_ends_a_call_on_both_sides(
    api: Any, made: Callable[..., HttpApiTool], within: Any, how: str
) -> None:
    with pytest.raises(DeadlineExceeded):
        await made(f"{api.url}/bad/{how}").call({}, within(0.5))
    await until(lambda: api.num_running == 0)


@pytest.mark.parametrize("how", ["hang", "drip"])
async def test_cancelling_ends_a_call_on_both_sides(
    api: Any, made: Callable[..., HttpApiTool], within: Any, how: str
) -> None:
    call = asyncio.create_task(made(f"{api.url}/bad/{how}").call({}, within()))
    await until(lambda: api.num_running == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: api.num_running == 0)


async def until(is_so: Callable[[], bool], after: Awaitable[None] | None = None) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 (what is waited for tells nobody when it happens)
            await asyncio.sleep(0.005)
