"""How the servers of this benchmark that are ours to write are run: uvicorn with nothing that costs time."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from benchmarks.input_end import exit_with_input

# FastAPI's own; it would be measured, too.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}


def serve(app: FastAPI, port: int) -> None:
    """Serve on loopback until SIGTERM, or until the parent is gone."""
    exit_with_input()
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
