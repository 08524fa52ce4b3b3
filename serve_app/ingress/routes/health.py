"""Whether the application is alive, and whether it can work: /healthz, /readyz, /metrics, and /."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response

from serve_app.errors import MantaError, NotFound
from serve_app.ingress.answers import json_document
from serve_app.ingress.services import Services
from serve_app.messages import JsonObject

logger = logging.getLogger("manta.ingress")

# Probes come every few seconds from load balancers, which give up themselves after about so long.
PROBE_TIMEOUT_S = 5.0
# https://prometheus.io/docs/instrumenting/exposition_formats/ (2026-11)
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def router(services: Services, probe_timeout_s: float = PROBE_TIMEOUT_S) -> APIRouter:
    routes = APIRouter(tags=["operation"])

    @routes.get("/")
    async def index() -> Response:
        """Where to look next."""
        here = {"api": "/docs", "models": "/v1/models", "readiness": "/readyz", "metrics": "/metrics"}
        return json_document({"name": "manta", **here})

    @routes.get("/healthz")
    async def healthz() -> Response:
        """This process answers. Says nothing of what it depends on."""
        return json_document({"status": "alive"})

    @routes.get("/readyz")
    async def readyz() -> Response:
        """The state of each dependency; 503 if one of them cannot work."""
        probing = [_probe(name, probe, probe_timeout_s) for name, probe in services.probes.items()]
        states = dict(zip(services.probes, await asyncio.gather(*probing), strict=True))
        is_ready = all(state["is_ready"] for state in states.values())
        response = json_document(
            {
                "status": "ready" if is_ready else "not ready",
                "dependencies": states,
                "left_out": dict(services.left_out),
            }
        )
        response.status_code = 200 if is_ready else 503
        return response

    @routes.get("/metrics")
    async def metrics() -> Response:
        """This node's metrics in Prometheus' text format."""
        if services.read_metrics is None:
            raise NotFound("no metrics are exported here")
        return Response(await services.read_metrics(), media_type=_PROMETHEUS)

    return routes


async def _probe(name: str, probe: Callable[[], Awaitable[None]], timeout_s: float) -> JsonObject:
    start_s = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            await probe()
    except TimeoutError:
        reason = f"no answer within {timeout_s:g} s"
    except MantaError as exc:
        reason = exc.message
    except Exception as exc:
        # Readiness must name what is broken, also when it breaks in a way that nobody foresaw.
        logger.exception("the probe of %s failed", name)
        reason = f"the probe failed: {exc.__class__.__name__}"
    else:
        return {"is_ready": True, "took_s": round(time.monotonic() - start_s, 4)}
    return {"is_ready": False, "reason": reason}
