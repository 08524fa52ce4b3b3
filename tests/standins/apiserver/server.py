"""An API server of Kubernetes on loopback, as far as a client of objects can tell.

Discovery, lists in pages, watches with bookmarks and 410, server-side apply, strict field validation, dry runs,
status as a subresource, finalizers, preconditions; and faults by order. No admission, no authorization but 401.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from apiserver.kinds import CORE, RAY, Kind
from apiserver.objects import Asked, Objects, Refusal, is_chosen
from apiserver.store import Document, Key, Store

_PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?(?:/(?P<plural>[^/]+))?(?:/(?P<name>[^/]+))?(?:/(?P<sub>status))?$"
)


@dataclass
class Fault:
    """Something that goes wrong with requests that it matches, so many times."""

    kind: str  # a code; or drop (before an answer), cut (a watch, after an event), hang
    method: str = ""
    path: str = ""  # a regular expression
    times: int = 1
    after: int = 0  # let so many pass first
    retry_after: str = ""
    reason: str = ""
    message: str = ""
    only_watches: bool = False

    def takes(self, method: str, path: str, *, is_watch: bool) -> bool:
        if self.times <= 0 or (self.method and self.method != method) or not re.search(self.path, path):
            return False
        if self.only_watches and not is_watch:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class ApiServer:
    """The server, and what it was asked: (method, path with query)."""

    kinds: list[Kind] = field(default_factory=lambda: [*CORE, *RAY])
    store: Store = field(default_factory=Store)
    port: int = 0
    token: str = ""  # empty: everybody is let in
    bookmark_every_s: float = 0.2
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    watch_says: list[Any] = field(default_factory=list)  # each once, in the place of an event; text as it is
    warnings: dict[str, str] = field(
        default_factory=dict
    )  # kind -> what the server warns of when it is written

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kind(self, name: str) -> Kind:
        return next(one for one in self.kinds if one.kind == name)

    def key(self, kind: str, namespace: str, name: str) -> Key:
        found = self.kind(kind)
        return found.group, found.plural, namespace if found.is_namespaced else "", name

    def get(self, kind: str, namespace: str, name: str) -> Document | None:
        return self.store.get(self.key(kind, namespace, name))

    def put(self, document: Document) -> Document:
        metadata = document["metadata"]
        return self.store.put(
            self.key(document["kind"], metadata.get("namespace", ""), metadata["name"]), document
        )

    def all(self, kind: str, namespace: str = "") -> list[Document]:
        found = self.kind(kind)
        return self.store.all(found.group, found.plural, namespace)

    def asked(self, method: str, pattern: str) -> int:
        return sum(one == method and bool(re.search(pattern, path)) for one, path in self.requests)

    def kubeconfig(self, *, token: str = "") -> Document:
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": token} if token else {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        }  # fmt: skip


@contextlib.contextmanager
def serving(server: ApiServer) -> Iterator[ApiServer]:
    """The server, answering."""

    class Handler(_Handler):
        api = server
        connections: ClassVar[set[socket.socket]] = set()

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = False  # the block is left when all have ended
    server.port = http.server_address[1]
    for name in ("default", "kube-system"):
        server.put(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name},
                "status": {"phase": "Active"},
            }
        )
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.store.close()
        http.shutdown()
        thread.join()
        for idle in list(Handler.connections):
            with contextlib.suppress(OSError):
                idle.shutdown(socket.SHUT_RDWR)
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"
    wbufsize = (
        -1
    )  # headers and body in one packet: apart, each answer would wait for an acknowledgement (40 ms)
    connections: set[socket.socket]

    def setup(self) -> None:
        super().setup()
        self.connections.add(self.connection)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client has left
            super().handle()

    def finish(self) -> None:
        self.connections.discard(self.connection)
        with contextlib.suppress(ConnectionError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self.api.requests.append((method, self.path))
        is_watch = query.get("watch") in ("true", "True", "1")
        cut_after = False
        for fault in self.api.faults:
            if fault.takes(method, self.path, is_watch=is_watch):
                if fault.kind == "cut":
                    cut_after = True
                    break
                self._fail(fault)
                return
        try:
            asked = self._read(method, url.path, query, body)
            if isinstance(asked, dict):
                self._send(200, asked)
            elif is_watch:
                self._watch(asked, cut_after=cut_after)
            else:
                code, document, warnings = Objects(self.api.store, self.api.warnings).do(asked)
                self._send(code, document, warnings)
        except Refusal as refusal:
            self._send(refusal.code, refusal.status)

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "drop":
            self._hang_up()
            return
        code = int(fault.kind)
        status = Refusal(code, fault.reason, fault.message or f"made to fail with {code}").status
        self._send(code, status, headers={"Retry-After": fault.retry_after} if fault.retry_after else {})

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _read(self, method: str, path: str, query: dict[str, str], body: bytes) -> Asked | Document:
        if self.api.token and self.headers.get("authorization") != f"Bearer {self.api.token}":
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if path == "/version":
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.2"}
        found = _PATH.match(path)
        if not found:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        group, version = found["group"] or "", found["version"] or found["core"]
        kinds = [one for one in self.api.kinds if (one.group, one.version) == (group, version)]
        if not kinds:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if not found["plural"] and not found["namespace"]:
            return _resources(kinds)
        namespace, plural, name = found["namespace"] or "", found["plural"] or "", found["name"] or ""
        kind = next((one for one in kinds if one.plural == plural), None)
        if kind is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        content_type = (self.headers.get("content-type") or "").split(";")[0]
        document = json.loads(body) if body else {}
        return Asked(method, kind, namespace, name, found["sub"] or "", query, document, content_type)

    def _send(
        self,
        code: int,
        document: Document,
        warnings: tuple[str, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        data = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for warning in warnings:
            self.send_header("Warning", f'299 - "{warning}"')
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _watch(self, asked: Asked, *, cut_after: bool) -> None:
        store, version = self.api.store, int(asked.query.get("resourceVersion") or 0)
        assert asked.kind is not None
        if version < store.compacted:
            raise Refusal(410, "Expired", f"too old resource version: {version} ({store.compacted})")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        if self.api.watch_says:
            said = self.api.watch_says.pop(0)
            self._line(said if isinstance(said, str) else json.dumps(said))
            self._hang_up()
            return
        until_s = time.monotonic() + float(asked.query.get("timeoutSeconds") or 60)
        bookmark_s = time.monotonic() + self.api.bookmark_every_s
        while time.monotonic() < until_s and not store.is_closed:
            if version < store.compacted:
                status = Refusal(
                    410, "Expired", f"too old resource version: {version} ({store.compacted})"
                ).status
                self._chunk({"type": "ERROR", "object": status})
                break
            if self.close_connection:
                return  # the client has left
            for event in store.since(version, 0.05):
                version = event.version
                if event.key[:2] != (asked.kind.group, asked.kind.plural) or not is_chosen(
                    event.document, asked
                ):
                    continue
                self._chunk({"type": event.type, "object": event.document})
                if cut_after:
                    self._hang_up()
                    return
            if asked.query.get("allowWatchBookmarks") == "true" and time.monotonic() >= bookmark_s:
                bookmark_s = time.monotonic() + self.api.bookmark_every_s
                self._chunk({"type": "BOOKMARK", "object": {
                    "kind": asked.kind.kind, "apiVersion": asked.kind.api_version,
                    "metadata": {"resourceVersion": str(max(version, store.version))},
                }})  # fmt: skip
                version = max(version, store.version)
        with contextlib.suppress(OSError):
            self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, document: Document) -> None:
        self._line(json.dumps(document))

    def _line(self, text: str) -> None:
        data = text.encode() + b"\n"
        try:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
        except OSError:
            self.close_connection = True


def _resources(kinds: list[Kind]) -> Document:
    found = [
        {"name": one.plural, "kind": one.kind, "namespaced": one.is_namespaced, "verbs": ["get"]}
        for one in kinds
    ]
    found += [
        {"name": f"{one.plural}/status", "kind": one.kind, "namespaced": one.is_namespaced, "verbs": ["get"]}
        for one in kinds if one.has_status
    ]  # fmt: skip
    return {"kind": "APIResourceList", "groupVersion": kinds[0].api_version, "resources": found}
