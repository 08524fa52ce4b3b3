"""A client of a running Manta over HTTP: what the command line needs, and a model for one's own.

Knows only the API (docs/api.md), none of the application's modules that serve it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from serve_app.errors import MantaError
from serve_app.messages import DocumentInput

DEFAULT_URL = "http://127.0.0.1:8000"


class ServerError(MantaError):
    """The server answered with an error; the message is its own."""


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event."""

    name: str
    data: dict[str, Any]


class MantaClient:
    """Calls one server on behalf of one tenant."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        tenant: str | None = None,
        timeout_s: float = 300.0,
        transport: httpx.BaseTransport | None = None,
        *,
        api_key: str | None = None,
        user: str | None = None,
    ) -> None:
        """`transport` stands in for the network."""
        headers = {"x-manta-tenant": tenant} if tenant else {}
        if user:
            headers["x-manta-user"] = user
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            transport=transport,
            trust_env=False,  # a proxy of the environment must not see loopback traffic
        )

    def __enter__(self) -> MantaClient:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def missing(self) -> dict[str, str]:
        """What the application still waits for: dependency -> reason; empty once it is ready."""
        try:
            response = self._http.get("/readyz")
            states: dict[str, dict[str, Any]] = response.json()["dependencies"]
        except (httpx.TransportError, ValueError, KeyError) as exc:
            return {"ingress": f"no answer yet ({exc.__class__.__name__})"}
        return {name: state["reason"] for name, state in states.items() if not state["is_ready"]}

    def plan_sync(self, source: str, sha256_by_path: Mapping[str, str]) -> dict[str, Any]:
        """Which documents of a source to send, and which ids are gone: see SyncPlan."""
        body = {"source": source, "documents": dict(sha256_by_path)}
        return self._post("/v1/knowledge/sync/plan", body)

    def put_documents(self, source: str, documents: Iterable[DocumentInput]) -> list[dict[str, Any]]:
        """Send documents; one outcome each."""
        body = {"source": source, "documents": [_document(one) for one in documents]}
        outcomes: list[dict[str, Any]] = self._post("/v1/knowledge/documents", body)["data"]
        return outcomes

    def delete_documents(self, ids: Iterable[str]) -> int:
        num_deleted: int = self._post("/v1/knowledge/documents/delete", {"ids": list(ids)})["num_deleted"]
        return num_deleted

    def ask(self, question: str, k: int | None = None, session: str | None = None) -> Iterator[Event]:
        """The events of one answer, as they come."""
        body: dict[str, Any] = {"question": question, "stream": True}
        if k is not None:
            body["k"] = k
        if session is not None:
            body["session"] = session
        with self._http.stream("POST", "/v1/agent/answers", json=body) as response:
            if response.status_code != 200:
                response.read()
                raise _server_error(response)
            yield from _events(response.iter_lines())

    def knowledge_status(self) -> dict[str, Any]:
        """Counts of the base, and how current its sources are: see KnowledgeStatus."""
        return self._get("/v1/knowledge/status")

    def search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The passages that fit; the body is that of /v1/knowledge/search."""
        return self._post("/v1/knowledge/search", dict(body))

    def begin_sync(self, source: str) -> None:
        """Have one of the server's own sources synced, in the background."""
        self._post("/v1/knowledge/sync/start", {"source": source})

    def sync_failed(self, source: str, reason: str) -> None:
        """Note that a sync of a source broke off."""
        self._post("/v1/knowledge/sync/failure", {"source": source, "reason": reason[:2000]})

    def rebuild(self, *, reindex: bool, timeout_s: float) -> dict[str, Any]:
        """One step of a rebuild: see RebuildReport."""
        headers = {"x-request-timeout-s": f"{timeout_s:g}"}
        return self._post("/v1/knowledge/rebuild", {"reindex": reindex}, headers)

    def usage(self, days: int, tenant: str | None = None) -> list[dict[str, Any]]:
        """What was used today and in the days before: a row a day, tenant, key and model."""
        parameters = {"days": str(days)} | ({"tenant": tenant} if tenant else {})
        rows: list[dict[str, Any]] = self._get("/v1/usage", parameters)["data"]
        return rows

    def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        return _document_of(self._http.get(path, params=parameters))

    def _post(
        self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return _document_of(self._http.post(path, json=body, headers=dict(headers or {})))


def _document(document: DocumentInput) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "path": document.path,
        "content_base64": base64.b64encode(document.content).decode(),
        "media_type": document.media_type,
        "metadata": dict(document.metadata),
        "version": document.version,
    }
    return {name: value for name, value in fields.items() if value}


def _events(lines: Iterator[str]) -> Iterator[Event]:
    """Events of a text/event-stream (WHATWG HTML, 9.2.6), as far as Manta's own streams use it."""
    name, data = "message", ""
    for line in lines:
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            if data != "[DONE]":
                yield Event(name, json.loads(data))
            name, data = "message", ""


def _document_of(response: httpx.Response) -> dict[str, Any]:
    if response.status_code != 200:
        raise _server_error(response)
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ServerError(f"{response.request.url} gave no JSON object: no Manta answers there")
    return document


def _server_error(response: httpx.Response) -> ServerError:
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text[:200]
    return ServerError(f"{response.status_code}: {message}")
