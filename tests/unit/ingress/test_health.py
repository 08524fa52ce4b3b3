"""Liveness, readiness, metrics."""

import asyncio
import dataclasses

import httpx
from fastapi import FastAPI

from serve_app.errors import Unavailable
from serve_app.ingress.routes import health


async def _get(services, path: str) -> httpx.Response:
    app = FastAPI()
    app.include_router(health.router(services, probe_timeout_s=0.02))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://manta") as one:
        return await one.get(path)


async def test_alive(client) -> None:
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    assert (await client.get("/")).json()["readiness"] == "/readyz"


async def test_ready_names_what_is_left_out(client) -> None:
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert answer.json()["dependencies"]["mock"]["is_ready"] is True
    assert "pull big" in answer.json()["left_out"]["big"]


async def test_not_ready_says_why_and_does_not_wait_for_ever(services) -> None:
    started: list[str] = []

    async def hangs() -> None:
        started.append("hangs")
        await asyncio.Event().wait()

    async def fails() -> None:
        started.append("fails")
        raise Unavailable("the store cannot be read")

    async def surprises() -> None:
        raise KeyError("secret")

    probes = {**services.probes, "slow": hangs, "store": fails, "odd": surprises}
    answer = await _get(dataclasses.replace(services, probes=probes), "/readyz")
    states = answer.json()["dependencies"]
    assert answer.status_code == 503
    assert states["slow"] == {"is_ready": False, "reason": "no answer within 0.02 s"}
    assert states["store"] == {"is_ready": False, "reason": "the store cannot be read"}
    assert states["odd"] == {"is_ready": False, "reason": "the probe failed: KeyError"}
    assert states["mock"]["is_ready"] is True
    assert started == ["hangs", "fails"]


async def test_metrics_are_passed_on(client) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text == "# HELP up\nup 1\n"


async def test_metrics_that_cannot_be_read_are_an_error(services, config) -> None:
    from serve_app.ingress.app import create_app

    for read, status in ((None, 404), (_no_exporter, 503)):
        app = create_app(config, dataclasses.replace(services, read_metrics=read))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://manta") as one:
            assert (await one.get("/metrics")).status_code == status


async def _no_exporter() -> bytes:
    raise Unavailable("Ray's metrics exporter does not answer")
