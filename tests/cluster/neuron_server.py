"""In the place of vLLM's server on NeuronCores: writes down how it was started, and answers on its socket."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from aiohttp import web

RECORDS = "STAND_IN_RECORDS"  # the variable that names the folder for what is written down
WORDS = ["on", " two", " cores"]


async def chat(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    assert body["stream"]
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for number, word in enumerate(WORDS):
        choice = {
            "index": 0,
            "delta": {"content": word},
            "finish_reason": "stop" if number + 1 == len(WORDS) else None,
        }
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        await response.write(b"data: " + json.dumps(chunk | {"choices": [choice]}).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


async def health(_: web.Request) -> web.Response:
    return web.Response()


async def metrics(_: web.Request) -> web.Response:
    return web.Response(text="vllm:num_requests_running 0.0\n")


async def serve(socket: str) -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, socket).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    record = {"words": sys.argv[1:], "environment": dict(os.environ)}
    whole = Path(os.environ[RECORDS], f"{os.getpid()}.json")
    whole.with_suffix(".part").write_text(json.dumps(record))
    whole.with_suffix(".part").rename(whole)
    asyncio.run(serve(sys.argv[sys.argv.index("--uds") + 1]))
