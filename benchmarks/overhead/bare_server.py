"""`python -m benchmarks.overhead.bare_server`: the mock's tokens from FastAPI and nothing else.

The reference that everything is divided by, so it must not be held back: one process, uvloop, httptools, a
plain StreamingResponse, no telemetry, no access log, no checks of what it is sent. It writes the chunks that the
mock engine writes, with the same JSON library, one write a token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from benchmarks.input_end import exit_with_input
from benchmarks.overhead.pace import MODEL, Pace

_WORDS = ("manta", "ray", "glides", "over", "reef", "and", "open", "sea", "by", "night")


def make_app(pace: Pace) -> FastAPI:
    """The server's application."""
    app = FastAPI(
        openapi_url=None, docs_url=None, telemetry={"tracing": False, "metrics": False, "logs": False}
    )

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> StreamingResponse:
        body = await request.json()
        num_tokens = body.get("max_tokens") or pace.num_tokens
        frames = _frames(pace, num_tokens, request.headers.get("x-request-id", "none"))
        return StreamingResponse(frames, media_type="text/event-stream")

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


async def _frames(pace: Pace, num_tokens: int, request_id: str) -> AsyncIterator[bytes]:
    envelope = {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": MODEL,
    }
    rng = random.Random(0)  # noqa: S311 (text, no secret)
    opening = _event(envelope, {"role": "assistant", "content": "", "refusal": None})
    due_s = time.perf_counter() + pace.ttft_ms / 1e3
    for _ in range(num_tokens):
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        due_s += pace.tpot_ms / 1e3
        yield opening + _event(envelope, {"content": rng.choice(_WORDS) + " "})
        opening = b""
    usage = {"prompt_tokens": 0, "completion_tokens": num_tokens, "total_tokens": num_tokens}
    counts = _encode({**envelope, "choices": [], "usage": usage})
    yield _event(envelope, {}, "length") + counts + b"data: [DONE]\n\n"


def _event(envelope: dict[str, Any], delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _encode({**envelope, "choices": [choice]})


def _encode(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return b"data: " + text.encode() + b"\n\n"


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True, help="of loopback")
    Pace.add_options(parser)
    arguments = parser.parse_args()
    exit_with_input()
    uvicorn.run(
        make_app(Pace.of(arguments)),
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
