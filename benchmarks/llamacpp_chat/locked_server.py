"""`python -m benchmarks.llamacpp_chat.locked_server`: `llama_cpp.Llama` as guides deploy it, one text at a time.

A server with the least around it: whoever has the lock gets the model, in order of arrival. Not more is in it than
the comparison needs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import llama_cpp
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from benchmarks.llamacpp_chat.bare import NO_TELEMETRY, serve

_FIELDS = ("prompt", "max_tokens", "temperature", "top_k", "top_p", "min_p")


def make_app(llama: llama_cpp.Llama) -> FastAPI:
    """The server's application."""
    app = FastAPI(openapi_url=None, docs_url=None, telemetry=NO_TELEMETRY)
    lock = asyncio.Lock()

    @app.post("/v1/completions", response_model=None)
    async def completions(request: Request) -> StreamingResponse | JSONResponse:
        body = await request.json()
        asked = {name: body[name] for name in _FIELDS if name in body}
        if body.get("stream"):
            return StreamingResponse(_frames(llama, lock, asked), media_type="text/event-stream")
        async with lock:
            return JSONResponse(await run_in_threadpool(lambda: llama.create_completion(**asked)))

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


async def _frames(llama: llama_cpp.Llama, lock: asyncio.Lock, asked: dict[str, Any]) -> AsyncIterator[bytes]:
    async with lock:
        chunks = cast("Iterator[Any]", llama.create_completion(**asked, stream=True))
        async for chunk in iterate_in_threadpool(chunks):
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("gguf")
    parser.add_argument("port", type=int, help="of loopback")
    parser.add_argument("--context-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    llama = llama_cpp.Llama(
        arguments.gguf,
        n_ctx=arguments.context_tokens,
        n_threads=arguments.threads,
        n_threads_batch=arguments.threads,
        flash_attn=True,
        verbose=False,
    )
    serve(make_app(llama), arguments.port)


if __name__ == "__main__":
    main()
