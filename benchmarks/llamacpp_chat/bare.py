"""How the servers of this benchmark that are ours to write are run: uvicorn with nothing that costs time."""

from __future__ import annotations

import os
import threading

import uvicorn
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

# FastAPI's own; it would be measured, too.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}


def serve(app: FastAPI, port: int) -> None:
    """Serve on loopback until SIGTERM, or until the parent is gone."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )


def _end_with_input() -> None:
    while os.read(0, 4096):  # not sys.stdin, whose lock would be held when the interpreter ends
        pass
    os._exit(0)
