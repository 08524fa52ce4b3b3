"""The official `openai` client through the door, in the versions that users have: the one that is installed here, and
those of `make openai-clients`, each in an environment of its own, because agents' libraries pin another one."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from configs.schema import (
    AuthenticationConfig,
    DoorConfig,
    IngressConfig,
    KeysConfig,
    LimitsConfig,
    MockEmbedder,
    MockModel,
)
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockGenerator, MockTextEmbedder
from serve_app.engines.text_edge import TextEdge
from serve_app.identity.base import Role
from serve_app.identity.embedded_keys import EmbeddedKeyStore
from serve_app.identity.keys import make_key
from serve_app.ingress.app import create_app
from serve_app.ingress.door.parts import open_door
from serve_app.ingress.services import Services

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("asking.py")
# Major version -> the interpreter that has it.
PYTHONS = {
    "1": ROOT / ".venv-openai-1" / "bin" / "python",
    "2": Path(sys.executable),
    "3": ROOT / ".venv-openai-3" / "bin" / "python",
}


@dataclass
class House:
    """A server behind a door, and keys of two tenants."""

    url: str
    keys: dict[str, str]
    generator: MockGenerator


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    limits = LimitsConfig(requests_per_min=6000, burst_requests=1000)
    door = DoorConfig(authentication=AuthenticationConfig(keys=KeysConfig()), tenant_limits=limits)
    generator = MockGenerator(MockModel(name="mock", engine="mock", ttft_ms=1, tpot_ms=1))
    model = TextEdge(generator)
    embedder = EmbeddingEdge(MockTextEmbedder(MockEmbedder(name="embedder", engine="mock", dim=16)))
    services = Services(
        models={"mock": model},
        embedders={"embedder": embedder},
        agents={},
        knowledge=None,
        cards={"mock": model.card(), "embedder": embedder.card()},
    )
    keys = EmbeddedKeyStore(tmp_path / "door" / "keys.sqlite3")
    good = make_key("good", "team-a", Role.USER, time.time())
    once = LimitsConfig(requests_per_min=0.01, burst_requests=1)
    limited = make_key("limited", "team-b", Role.USER, time.time(), limits=once)
    for made in (good, limited):
        await keys.put(made.record)
    await keys.close()
    opened = open_door(door, IngressConfig(), tmp_path, services.cards, "manta")
    assert opened is not None
    app = create_app(IngressConfig(), services, door=opened)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield House(url, {"good": good.key, "limited": limited.key}, generator)
    finally:
        server.should_exit = True
        await serving
        listener.close()
        await opened.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 (what is waited for tells nobody when it happens)
            await asyncio.sleep(0.005)


async def asked(house: House, python: Path) -> Any:
    process = await asyncio.create_subprocess_exec(
        str(python),
        str(SCRIPT),
        house.url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(json.dumps(house.keys).encode() + b"\n")
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("major", PYTHONS)
async def test_the_official_client_gets_through_the_door(house: House, major: str) -> None:
    if not PYTHONS[major].exists():
        pytest.skip(f"openai {major}.x is not installed: make openai-clients installs it")
    seen = await asked(house, PYTHONS[major])
    assert seen["version"].partition(".")[0] == major
    text, finish_reason, num_tokens = seen["chat"]
    assert (len(text.split()), finish_reason, num_tokens) == (5, "length", 5)
    assert seen["stream"] == seen["chat"]
    assert seen["headers"] == ["6000", True, "chat.completion"]
    assert seen["tools"] == ["look_up", '{"of": "manta"}', "tool_calls"]
    assert seen["completions"] == 4
    assert seen["embeddings"] == [2, 16, True]
    assert seen["models"] == ["embedder", "mock"]
    assert seen["refusals"] == {
        "no key": ["AuthenticationError", 401, "invalid_api_key", False],
        "forged tenant": ["PermissionDeniedError", 403, "permission_denied", False],
        "over the limit": ["RateLimitError", 429, "rate_limit_exceeded", True],
        "over the limit, stream": ["RateLimitError", 429, "rate_limit_exceeded", True],
        "unknown model": ["NotFoundError", 404, "model_not_found", False],
        "bad value": ["BadRequestError", 400, None, False],
        "late": ["InternalServerError", 504, "deadline_exceeded", False],
    }
    assert seen["async"] == [50, 50, 3]
    await until(lambda: house.generator.num_running == 0)  # also the stream that its reader left
