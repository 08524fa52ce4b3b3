"""`python -m benchmarks.embeddings.locked_server`: one text at a time behind HTTP, as guides deploy llama.cpp.

The server that the API is compared with: FastAPI, one `Llama`, a lock. It does not batch, and is not held back
otherwise: uvloop, httptools, no telemetry, no access log.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request

from benchmarks.embeddings.workers.llama_cpp_plain import Plain
from benchmarks.input_end import exit_with_input


def make_app(plain: Plain) -> FastAPI:
    """The server's application."""
    app = FastAPI(
        openapi_url=None, docs_url=None, telemetry={"tracing": False, "metrics": False, "logs": False}
    )
    lock = asyncio.Lock()

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> dict[str, Any]:
        body = await request.json()
        given = body["input"]
        texts = [given] if isinstance(given, str) else given
        data = []
        for index, text in enumerate(texts):
            async with lock:
                (vector,) = await asyncio.to_thread(plain.embed, [text])
            packed = base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
            data.append({"object": "embedding", "index": index, "embedding": packed})
        return {"object": "list", "data": data, "model": body["model"]}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True, help="of loopback")
    parser.add_argument("--model", required=True, help="a GGUF file")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    exit_with_input()
    uvicorn.run(
        make_app(Plain(arguments.model, arguments.threads, 512)),
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
