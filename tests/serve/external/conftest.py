from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from scripted_endpoint import Endpointlike, Open, Script


@pytest.fixture
async def endpoint() -> AsyncIterator[Open]:
    servers: list[asyncio.Server] = []

    async def open_(script: Script) -> Endpointlike:
        made = Endpointlike(script)
        server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
        servers.append(server)
        made.port = server.sockets[0].getsockname()[1]
        return made

    yield open_
    for server in servers:
        server.close()
        await server.wait_closed()
