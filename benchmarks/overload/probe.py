"""One more client beside the load, that looks at what it is told when it is turned away.

The load tester's records have the status of a refusal, not its headers; this one reads Retry-After.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from benchmarks.endpoints import PATHS
from benchmarks.target import Target

EVERY_S = 1.0
TIMEOUT_S = 10.0

Answers = list[dict[str, Any]]  # status, retry_after_s (None: there was none)


@contextmanager
def probing(target: Target) -> Iterator[Answers]:
    """Ask for one token again and again within the context; what is yielded is complete after it."""
    answers: Answers = []
    is_over = threading.Event()
    thread = threading.Thread(target=_probe, args=(target, answers, is_over), name="probe")
    thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        thread.join()


def _probe(target: Target, answers: Answers, is_over: threading.Event) -> None:
    headers = dict(target.headers)
    if target.api_key is not None:
        headers["authorization"] = f"Bearer {target.api_key}"
    body = {"model": target.model, "messages": [{"role": "user", "content": "reef"}], "max_tokens": 1}
    with httpx.Client(base_url=target.url, headers=headers, timeout=TIMEOUT_S, trust_env=False) as http:
        while not is_over.wait(EVERY_S):
            try:
                response = http.post(PATHS["chat"], json=body)
            except httpx.TransportError:
                continue  # the load's own records tell of broken connections and of time-outs
            answers.append({"status": response.status_code, "retry_after_s": _seconds(response)})


def _seconds(response: httpx.Response) -> float | None:
    try:
        return float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
