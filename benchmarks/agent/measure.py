"""Answers over HTTP: when the first event came, when the last one did, and what the run says of itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpx

from benchmarks.agent.paths import OTHERS, QUESTIONS

TENANT = "bench-agent"
_TIMEOUT_S = 120.0


async def measure(url: str, model_url: str, num_callers: int, num_requests: int) -> list[dict[str, Any]]:
    """One record a request, the paths in turn; each caller asks again as soon as it has its answer.

    With one caller the calls that the models had meanwhile are those of the answer, and a record says how long
    they took together.
    """
    numbers = itertools.count()
    records: list[dict[str, Any]] = []
    limits = httpx.Limits(max_connections=num_callers, max_keepalive_connections=num_callers)
    async with (
        httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, trust_env=False, limits=limits) as http,
        httpx.AsyncClient(base_url=model_url, timeout=_TIMEOUT_S, trust_env=False) as model,
    ):

        async def call_on() -> None:
            while (number := next(numbers)) < num_requests:
                path = tuple(QUESTIONS)[number % len(QUESTIONS)]
                record = await _ask(http, path, number // len(QUESTIONS))
                if num_callers == 1:
                    calls = (await model.get("/calls")).json()
                    record["model_ms"] = round(together_s(calls) * 1000, 3)
                    record["num_calls_seen"] = len(calls)
                records.append(record | {"num_callers": num_callers})

        await model.get("/calls")  # those of before
        await asyncio.gather(*(call_on() for _ in range(num_callers)))
    return records


async def _ask(http: httpx.AsyncClient, path: str, number: int) -> dict[str, Any]:
    body = {"question": QUESTIONS[path](number), "stream": True}
    record: dict[str, Any] = {"path": path, "number": number}
    began_s = time.monotonic()
    first_s: float | None = None
    final: dict[str, Any] = {}
    name = ""
    headers = {"x-manta-tenant": TENANT}
    async with http.stream("POST", "/v1/agent/answers", json=body, headers=headers) as response:
        record["status"] = response.status_code
        async for line in response.aiter_lines():
            if line.startswith("event:"):
                name = line[6:].strip()
                first_s = time.monotonic() if first_s is None else first_s
            elif line.startswith("data:") and name in ("answer.final", "error"):
                final = json.loads(line[5:])
                record["error"] = final.get("error", {}).get("message") if name == "error" else None
    e2e_ms = (time.monotonic() - began_s) * 1000
    record["e2e_ms"] = round(e2e_ms, 3)
    record["first_event_ms"] = None if first_s is None else round((first_s - began_s) * 1000, 3)
    if "run" in final:
        record |= of_run(final["run"])
        record |= {key: final[key] for key in ("outcome", "flags")}
        record["num_model_calls"] = final["usage"]["num_model_calls"]
    return record


def of_run(run: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run's states, the time of those that are the pipeline's own, and of all."""
    own_ms = sum(state["ms"] for state in run if state["state"] not in OTHERS)
    return {
        "states": [state["state"] for state in run],
        "own_ms": round(own_ms, 3),
        "run_ms": round(sum(state["ms"] for state in run), 3),
    }


def together_s(calls: Iterable[tuple[float, float]]) -> float:
    """Seconds in which at least one of the calls was under way."""
    total, over_s = 0.0, float("-inf")
    for began_s, ended_s in sorted(calls):
        total += max(0.0, ended_s - max(began_s, over_s))
        over_s = max(over_s, ended_s)
    return total
