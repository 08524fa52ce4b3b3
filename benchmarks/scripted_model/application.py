"""An application whose chat models are the scripted one, and what is in its knowledge base and its web."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.application import served
from benchmarks.errors import BenchmarkError
from configs.ports import free_port

_BATCH = 64


@contextmanager
def scripted_model(ttft_ms: float, tpot_ms: float) -> Iterator[str]:
    """The base URL of a scripted model, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.scripted_model", "--port", str(port)]
    command += ["--ttft-ms", str(ttft_ms), "--tpot-ms", str(tpot_ms)]
    with served(command, f"http://127.0.0.1:{port}", "/v1/models") as server:
        yield server.url


def external_models(url: str) -> list[dict[str, Any]]:
    """Its two roles as models of a profile."""
    scaling = {"max_ongoing_requests": 64, "max_queued_requests": 256}
    return [
        {
            "name": name,
            "engine": "external",
            "base_url": f"{url}/v1",
            "upstream_model": name,
            "scaling": scaling,
        }
        for name in ("writer", "judge")
    ]


def write_pages(path: Path, texts: Mapping[str, str]) -> Path:
    """A web of pages: title -> text."""
    pages = [
        {"url": f"https://pages.example/{at}", "title": title, "text": text}
        for at, (title, text) in enumerate(texts.items())
    ]
    path.write_text(json.dumps(pages, indent=2), encoding="utf-8")
    return path


def ingest(http: httpx.Client, tenant: str, texts: Mapping[str, str]) -> None:
    """Documents: path -> text.

    Raises:
        BenchmarkError: one was not taken.
    """
    documents: Sequence[dict[str, str]] = [{"path": path, "text": text} for path, text in texts.items()]
    for start in range(0, len(documents), _BATCH):
        body = {"source": "facts", "documents": documents[start : start + _BATCH]}
        headers = {"x-manta-tenant": tenant, "x-request-timeout-s": "300"}
        response = http.post("/v1/knowledge/documents", json=body, headers=headers)
        outcomes = response.json().get("data", []) if response.status_code == 200 else []
        failed = [one for one in outcomes if one["status"] == "failed"]
        if failed or not outcomes:
            raise BenchmarkError(f"documents were not taken: {failed[:1] or response.text[:200]}")
