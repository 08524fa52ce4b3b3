"""Something to ask about: the documentation of this repository in the application's knowledge base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from benchmarks.errors import BadTarget
from benchmarks.target import Target

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs"
QUESTIONS = Path(__file__).with_name("questions.txt")
SOURCE = "docs"  # the name that `manta up --demo` gives it, so that nothing is there twice
_TIMEOUT_S = 300.0  # an embedder on a slow machine takes a minute for all of it


def client_for(target: Target, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """Asks the target's own routes. `transport` stands in for the network."""
    headers = dict(target.headers)
    if target.api_key is not None:
        headers["authorization"] = f"Bearer {target.api_key}"
    verify: Any = target.ca_file or True
    return httpx.Client(
        base_url=target.url,
        headers=headers,
        timeout=httpx.Timeout(_TIMEOUT_S, connect=5.0),
        verify=verify,
        trust_env=False,
        transport=transport,
    )


def ensure_documents(http: httpx.Client, folder: Path = DOCUMENTATION) -> int:
    """The number of chunks in the knowledge base; an empty one gets the documentation first.

    Raises:
        BadTarget: it has no knowledge base, or does not take documents.
    """
    if num_chunks := _num_chunks(http):
        return num_chunks
    documents = [
        {"path": path.relative_to(folder).as_posix(), "text": path.read_text(encoding="utf-8")}
        for path in sorted(folder.rglob("*.md"))
    ]
    if not documents:
        raise BadTarget(f"{folder} has no documents, and the knowledge base is empty")
    response = _asked(http, "POST", "/v1/knowledge/documents", {"source": SOURCE, "documents": documents})
    failed = [outcome for outcome in response["data"] if outcome["status"] == "failed"]
    if failed:
        raise BadTarget(f"the knowledge base does not take {failed[0]['path']}: {failed[0]['reason']}")
    return _num_chunks(http)


def num_citations(http: httpx.Client, question: str) -> int:
    """How many sources the agent's answer to a question names.

    Raises:
        BadTarget: there is no answer.
    """
    return len(_asked(http, "POST", "/v1/agent/answers", {"question": question})["citations"])


def first_question() -> str:
    return QUESTIONS.read_text(encoding="utf-8").splitlines()[0]


def _num_chunks(http: httpx.Client) -> int:
    return int(_asked(http, "GET", "/v1/knowledge/status", None)["num_chunks"])


def _asked(http: httpx.Client, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        response = http.request(method, path, json=body, headers={"x-request-timeout-s": str(_TIMEOUT_S)})
    except httpx.HTTPError as exc:
        raise BadTarget(f"{method} {http.base_url}{path}: {exc or exc.__class__.__name__}") from exc
    if response.status_code != 200:
        raise BadTarget(f"{method} {path} answered {response.status_code}: {response.text[:200]}")
    document: dict[str, Any] = response.json()
    return document
