"""An API server of Kubernetes on loopback, as far as a client of objects can tell.

Discovery, lists in pages, watches with bookmarks and 410, server-side apply, strict field validation, dry runs,
status as a subresource, finalizers, preconditions; and faults by order. No admission, no authorization but 401.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from apiserver import fields
from apiserver.kinds import CORE, RAY, Kind, faults, unknown_fields
from apiserver.store import Document, Key, Store

PAGE = 3  # small, so that lists come in pages
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


class Refusal(Exception):
    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "code": code, "details": details,
        }  # fmt: skip


@dataclass(frozen=True)
class Asked:
    method: str
    kind: Kind | None
    namespace: str
    name: str
    sub: str
    query: dict[str, str]
    body: Document
    content_type: str

    @property
    def key(self) -> Key:
        assert self.kind is not None
        return self.kind.group, self.kind.plural, self.namespace, self.name

    @property
    def manager(self) -> str:
        return self.query.get("fieldManager", "unknown")


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
                code, document, warnings = _Requests(self.api).do(asked)
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
                if event.key[:2] != (asked.kind.group, asked.kind.plural) or not _is_chosen(
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


class _Requests:
    """What is done with objects."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._store = api.store

    def do(self, asked: Asked) -> tuple[int, Document, tuple[str, ...]]:
        with self._store.changed:
            if asked.method == "GET":
                return 200, self._get(asked) if asked.name else self._list(asked), ()
            if asked.method == "DELETE":
                return 200, self._delete(asked), ()
            return self._write(asked)

    def _get(self, asked: Asked) -> Document:
        found = self._store.get(asked.key)
        if found is None:
            raise self._not_found(asked)
        return found

    def _list(self, asked: Asked) -> Document:
        assert asked.kind is not None
        found = [
            one
            for one in self._store.all(asked.kind.group, asked.kind.plural, asked.namespace)
            if _is_chosen(one, asked)
        ]
        start = int(asked.query.get("continue") or 0)
        page = found[start : start + min(PAGE, int(asked.query.get("limit") or PAGE))]
        more = {"continue": str(start + len(page))} if start + len(page) < len(found) else {}
        for one in page:
            one.pop("kind"), one.pop("apiVersion")
        return {
            "kind": f"{asked.kind.kind}List", "apiVersion": asked.kind.api_version,
            "metadata": {"resourceVersion": str(self._store.version)} | more, "items": page,
        }  # fmt: skip

    def _delete(self, asked: Asked) -> Document:
        found = self._get(asked)
        uid = (asked.body.get("preconditions") or {}).get("uid")
        if uid and uid != found["metadata"]["uid"]:
            raise Refusal(409, "Conflict", f"the UID in the precondition ({uid}) does not match")
        if asked.query.get("dryRun") == "All":
            return found
        if asked.body.get("propagationPolicy") == "Foreground":
            self._store.change(
                asked.key,
                lambda one: one["metadata"].setdefault("finalizers", []).append("foregroundDeletion"),
            )
        return self._store.delete(asked.key) or found

    def _write(self, asked: Asked) -> tuple[int, Document, tuple[str, ...]]:
        kind = asked.kind
        assert kind is not None
        is_json_patch = asked.content_type == "application/json-patch+json"
        name = asked.name or asked.body.get("metadata", {}).get("name", "")
        key: Key = (kind.group, kind.plural, asked.namespace, name)
        live = self._store.get(key)
        if is_json_patch and live is not None:
            asked = replace(asked, method="PUT", body=_patched(live, asked.body))
        body = asked.body
        self._check_place(asked, kind)
        if asked.method == "POST" and live is not None:
            raise Refusal(
                409, "AlreadyExists", f'{kind.plural} "{name}" already exists', name=name, kind=kind.plural
            )
        is_apply = asked.content_type == "application/apply-patch+yaml"
        if asked.method in ("PUT", "PATCH") and live is None and not is_apply:
            raise self._not_found(asked)
        version = body.get("metadata", {}).get("resourceVersion")
        if version and (live is None or version != live["metadata"]["resourceVersion"]):
            raise Refusal(
                409, "Conflict",
                f'Operation cannot be fulfilled on {kind.plural} "{name}": the object has been modified; please apply '
                "your changes to the latest version and try again",
            )  # fmt: skip
        warnings = self._validate(asked, kind, body)
        made = self._made(asked, kind, live, is_apply=is_apply)
        if found := list(faults(made, kind.schema)):
            raise Refusal(
                422, "Invalid", f'{kind.kind}.{kind.group or "core"} "{name}" is invalid: {"; ".join(found)}',
                causes=[{"reason": "FieldValueInvalid", "message": one} for one in found],
            )  # fmt: skip
        for fixed in kind.fixed if live else ():
            if live and made.get(fixed) != live.get(fixed):
                said = f'{kind.kind} "{name}" is invalid: {fixed}: Invalid value: {{}}: field is immutable'
                raise Refusal(422, "Invalid", said)
        if asked.query.get("dryRun") == "All":
            # As the real one: whatever would change, the version is that of the object as it is.
            kept = ("uid", "resourceVersion", "generation", "creationTimestamp")
            made["metadata"] |= {key: live["metadata"][key] for key in kept} if live else {}
            return 200 if live else 201, made, warnings
        return (200 if live else 201), self._store.put(key, made), warnings

    def _made(self, asked: Asked, kind: Kind, live: Document | None, *, is_apply: bool) -> Document:
        body = asked.body
        if is_apply:
            if "managedFields" in body.get("metadata", {}):
                raise Refusal(400, "BadRequest", "metadata.managedFields must be nil")
            made, conflicts = fields.apply(
                live, body, asked.manager, force=asked.query.get("force") == "true"
            )
            if conflicts:
                raise Refusal(
                    409, "Conflict", f"Apply failed with {len(conflicts)} conflicts: ...",
                    causes=[
                        {"reason": "FieldManagerConflict", "field": one, "message": said} for one, said in conflicts
                    ],
                )  # fmt: skip
            return made
        if asked.method == "PATCH":
            made = _merged(live or {}, body)
        else:
            made = body | {"apiVersion": kind.api_version, "kind": kind.kind}
            made["metadata"] = (live or {}).get("metadata", {}) | body.get("metadata", {})
        if kind.has_status:
            # Each of the two doors writes its own part.
            other = (live or {}) if asked.sub else made
            status = made.get("status") if asked.sub else (live or {}).get("status")
            made = {key: value for key, value in other.items() if key != "status"}
            made |= {"status": status} if status is not None else {}
            if asked.sub:
                made["metadata"] = dict(made["metadata"])
        return fields.update(live, made, asked.manager, asked.sub)

    def _validate(self, asked: Asked, kind: Kind, body: Document) -> tuple[str, ...]:
        unknown = [f'unknown field "{path}"' for path in unknown_fields(body, kind.schema)]
        how = asked.query.get("fieldValidation", "Warn")
        if unknown and how == "Strict":
            raise Refusal(400, "BadRequest", f"strict decoding error: {', '.join(unknown)}")
        said = [self._api.warnings[kind.kind]] if kind.kind in self._api.warnings else []
        return tuple(said + (unknown if how == "Warn" else []))

    def _check_place(self, asked: Asked, kind: Kind) -> None:
        if not kind.is_namespaced:
            return
        namespace = self._store.get(("", "namespaces", "", asked.namespace))
        if namespace is None:
            raise Refusal(404, "NotFound", f'namespaces "{asked.namespace}" not found')
        if namespace["metadata"].get("deletionTimestamp"):
            raise Refusal(
                403, "Forbidden",
                f'{kind.plural} "{asked.name}" is forbidden: unable to create new content in namespace '
                f"{asked.namespace} because it is being terminated",
            )  # fmt: skip

    def _not_found(self, asked: Asked) -> Refusal:
        assert asked.kind is not None
        plural = f"{asked.kind.plural}.{asked.kind.group}" if asked.kind.group else asked.kind.plural
        return Refusal(
            404, "NotFound", f'{plural} "{asked.name}" not found', name=asked.name, kind=asked.kind.plural
        )


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


def _patched(live: Document, operations: Any) -> Document:
    """JSON patch, RFC 6902: what `test` and `add` do."""
    made = copy.deepcopy(live)
    for one in operations:
        *way, last = (step.replace("~1", "/") for step in one["path"].lstrip("/").split("/"))
        inner: Any = made
        for step in way:
            inner = inner[int(step)] if isinstance(inner, list) else inner[step]
        if one["op"] == "add":
            inner[last] = one["value"]
        elif one["op"] != "test" or inner.get(last) != one["value"]:
            raise Refusal(422, "Invalid", "the server rejected our request due to an error in our request")
    return made


def _merged(before: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    made = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), value)
    return made


def _is_chosen(document: Document, asked: Asked) -> bool:
    metadata = document["metadata"]
    if asked.namespace and metadata.get("namespace") != asked.namespace:
        return False
    for term in filter(None, (asked.query.get("fieldSelector") or "").split(",")):
        name, _, wanted = term.partition("=")
        if str(fields.read(document, tuple(name.split("."))) or "") != wanted:
            return False
    return all(
        term(metadata.get("labels") or {}) for term in _label_terms(asked.query.get("labelSelector") or "")
    )


def _label_terms(selector: str) -> Iterator[Callable[[dict[str, str]], bool]]:
    for name, among, wanted in re.findall(r"([\w./-]+)(?: in \(([^)]*)\)|=([\w./-]*))", selector):
        values = [one.strip() for one in among.split(",")] if among else [wanted]
        yield lambda labels, name=name, values=values: labels.get(name) in values
