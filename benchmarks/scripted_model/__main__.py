"""`python -m benchmarks.scripted_model`: the scripted model behind OpenAI's API, at a given pace.

`GET /calls` tells when each call began and ended, in seconds of the machine's monotonic clock, which a client on the
same machine shares. The process ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from benchmarks.input_end import exit_with_input
from benchmarks.scripted_model.replies import reply


def make_app(ttft_ms: float, tpot_ms: float) -> FastAPI:
    """The server's application; a word is a token."""
    app = FastAPI(
        openapi_url=None, docs_url=None, telemetry={"tracing": False, "metrics": False, "logs": False}
    )
    calls: list[tuple[float, float]] = []

    async def words(body: dict[str, Any]) -> AsyncGenerator[str]:
        began_s = time.monotonic()
        try:
            due_s = began_s + ttft_ms / 1000
            for word in reply(body).split(" "):
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                yield word
                due_s += tpot_ms / 1000
        finally:
            calls.append((began_s, time.monotonic()))

    async def events(body: dict[str, Any]) -> AsyncIterator[bytes]:
        envelope = {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
        num = 0
        async with aclosing(words(body)) as spoken:
            async for word in spoken:
                choice = {
                    "index": 0,
                    "delta": {"content": (" " if num else "") + word},
                    "finish_reason": None,
                }
                yield _event({**envelope, "choices": [choice]})
                num += 1
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield _event({**envelope, "choices": [end]})
        yield _event({**envelope, "choices": [], "usage": _usage(body, num)}) + b"data: [DONE]\n\n"

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.json()
        if body.get("stream"):
            return StreamingResponse(events(body), media_type="text/event-stream")
        text = [word async for word in words(body)]
        message = {"role": "assistant", "content": " ".join(text)}
        document = {
            "id": "scripted",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _usage(body, len(text)),
        }
        return Response(json.dumps(document), media_type="application/json")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in ("writer", "judge")]}

    @app.get("/calls")
    async def ended_calls() -> list[tuple[float, float]]:
        """Those that ended since somebody asked last."""
        ended = list(calls)
        calls.clear()
        return ended

    return app


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def _usage(body: dict[str, Any], num_completion: int) -> dict[str, int]:
    num_prompt = sum(len(str(one.get("content") or "").split()) for one in body.get("messages", ()))
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_completion,
        "total_tokens": num_prompt + num_completion,
    }


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ttft-ms", type=float, default=20.0)
    parser.add_argument("--tpot-ms", type=float, default=2.0)
    arguments = parser.parse_args()
    exit_with_input()
    app = make_app(arguments.ttft_ms, arguments.tpot_ms)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
