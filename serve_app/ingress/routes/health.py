"""Whether the application is alive, and whether it can work: /healthz, /readyz, /metrics, and /."""

from __future__ import annotations

from fastapi import APIRouter, Response

from serve_app.errors import NotFound
from serve_app.health.readiness import Readiness, State
from serve_app.ingress.answers.answers import json_document
from serve_app.ingress.services import Services
from serve_app.messages import JsonObject

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

    readiness = Readiness(services.probes, probe_timeout_s, services.explain)

    @routes.get("/readyz")
    async def readyz() -> Response:
        """The state of each dependency, at most a second old; 503 if one of them cannot work."""
        states = await readiness.states()
        is_ready = all(state.is_ready for state in states.values())
        response = json_document(
            {
                "status": "ready" if is_ready else "not ready",
                "dependencies": {name: _shown(state) for name, state in states.items()},
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


def _shown(state: State) -> JsonObject:
    if state.is_ready:
        return {"is_ready": True, "took_s": round(state.took_s, 4)}
    return {"is_ready": False, "reason": state.reason}
