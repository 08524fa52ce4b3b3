"""`python -m benchmarks.llamacpp_chat.engine_server`: Manta's engine behind FastAPI and nothing else.

What is between this and `manta up` is the price of the deployment; what is between this and llama.cpp's own server is
the price of Python.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from benchmarks.llamacpp_chat.bare import NO_TELEMETRY, serve
from benchmarks.llamacpp_chat.engine import Engine, Refused
from benchmarks.llamacpp_chat.settings import TIMEOUT_S


def make_app(engine: Engine) -> FastAPI:
    """The server's application; closes the engine at its end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.close()

    app = FastAPI(openapi_url=None, docs_url=None, telemetry=NO_TELEMETRY, lifespan=lifespan)
    numbers = itertools.count()

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        body = await request.json()
        request_id = str(next(numbers))
        if body.get("stream"):
            frames = engine.stream(body, request_id, TIMEOUT_S)
            return StreamingResponse(frames, media_type="text/event-stream")
        answer = await engine.respond(body, request_id, TIMEOUT_S)
        return Response(answer, media_type="application/json")

    @app.exception_handler(Refused)
    async def refused(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, Refused)
        return Response(exc.message, exc.status)

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path, help="the model's configuration, JSON")
    parser.add_argument("port", type=int, help="of loopback")
    arguments = parser.parse_args()
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    serve(make_app(Engine(config)), arguments.port)


if __name__ == "__main__":
    main()
