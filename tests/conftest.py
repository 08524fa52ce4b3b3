"""Fixtures of every tier."""

from __future__ import annotations

import gc
import gzip
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from configs.ports import free_port as benchmark_port
from serve_app.messages import Deadline, RequestContext

ROOT = Path(__file__).resolve().parents[1]

# How fast a machine is at the moment is no property of what is tested.
settings.register_profile("manta", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("manta")


@pytest.fixture
def repository() -> Path:
    """The checkout's root."""
    return ROOT


def pytest_collection_finish() -> None:
    """Some hundred thousand objects live as long as the run; looking through them again and again was a tenth of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def context() -> RequestContext:
    """A request with plenty of time."""
    return RequestContext(request_id="test", tenant="default", deadline=Deadline.after(600.0))


@pytest.fixture(autouse=True)
def _sigterm_is_handled_as_before() -> Iterator[None]:
    """A command takes the signal for its process; MCP's streams end with the stopped server that still handles it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if before is not None:  # else: not Python's
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives ports of loopback on which nothing listens, and which no other test's server gets by chance."""
    return benchmark_port


START_OPENSEARCH_S = 300.0  # ten on an idle machine


class OpenSearchNode:
    """A real OpenSearch on loopback, in a process of its own, with a folder that outlives it."""

    def __init__(self, start: Path, folder: Path, port: int, transport_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._command = [
            str(start), "--data", str(folder), "--port", str(port),
            "--transport-port", str(transport_port), "--heap", "512m",
        ]  # fmt: skip
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        deadline_s = time.monotonic() + START_OPENSEARCH_S
        while time.monotonic() < deadline_s:
            assert self._process.poll() is None, (self._folder / "output.log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"{self.url}/_cluster/health?wait_for_status=yellow", timeout=5):
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(0.2)
        raise AssertionError(f"no OpenSearch on {self.url}: {self._folder / 'output.log'}")

    def send(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """As the kernel would: nothing is flushed, nobody is told."""
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            os.killpg(process.pid, number)
            process.wait(30)


@pytest.fixture(scope="session")
def new_opensearch_node(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Callable[[], OpenSearchNode]:
    """Makes nodes that are not started; where there is no OpenSearch on this machine the test is skipped."""
    start = ROOT.parent / "shared" / "opensearch" / "start"

    def make() -> OpenSearchNode:
        if not start.exists():
            pytest.skip(f"no OpenSearch: {start} is not here")
        if shutil.which("java") is None:
            pytest.skip("no OpenSearch: no java on PATH (OpenSearch 2.19 needs Java 11 to 21)")
        return OpenSearchNode(start, tmp_path_factory.mktemp("opensearch"), free_port(), free_port())

    return make


@pytest.fixture(scope="session")
def opensearch_url(new_opensearch_node: Callable[[], OpenSearchNode]) -> Iterator[str]:
    """Address of an OpenSearch that tests share: OPENSEARCH_URL's, else one that is started for them."""
    if url := os.environ.get("OPENSEARCH_URL"):
        yield url
        return
    node = new_opensearch_node()
    node.start()
    try:
        yield node.url
    finally:
        node.end()


@dataclass(frozen=True)
class SeenSpan:
    """A span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    status: int
    service: dict[str, Any]


@dataclass
class OtlpReceiver:
    """What was received; `status` is what it answers with."""

    port: int = 0
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    spans: list[SeenSpan] = field(default_factory=list)
    batches: list[Any] = field(default_factory=list)  # of JSON, as Langfuse takes them
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def children(self, parent: SeenSpan) -> list[SeenSpan]:
        return [one for one in self.spans if one.parent_id == parent.span_id]

    def one(self, name: str) -> SeenSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def tree(self, root: SeenSpan | None = None) -> Any:
        """(name, children by name) of the whole, from the one without a known parent."""
        ids = {span.span_id for span in self.spans}
        if root is None:
            (root,) = [span for span in self.spans if span.parent_id not in ids]
        return root.name, sorted((self.tree(child) for child in self.children(root)), key=str)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _spans(body: bytes) -> Iterator[SeenSpan]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield SeenSpan(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    _attributes(span.attributes),
                    [(event.name, _attributes(event.attributes)) for event in span.events],
                    span.status.code,
                    _attributes(resource.resource.attributes),
                )


@contextmanager
def _receiving() -> Iterator[OtlpReceiver]:
    got = OtlpReceiver()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            is_spans = self.path.endswith("/v1/traces")
            with lock:
                got.bodies.append(body)
                got.paths.append(self.path)
                got.headers.append({name.lower(): value for name, value in self.headers.items()})
                if got.status < 300 and is_spans:
                    got.spans += _spans(body)
                elif got.status < 300:
                    got.batches.append(json.loads(body))
            answer = b"" if is_spans else b"{}"  # an empty message of protobuf is no bytes
            self.send_response(got.status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    got.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def otlp_receiving() -> Callable[[], AbstractContextManager[OtlpReceiver]]:
    """Starts OTLP receivers on loopback: protobuf over HTTP, and what Langfuse is sent besides."""
    return _receiving


@pytest.fixture(scope="session")
def redis_url(free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis of the tests' own, in a folder of its own; skipped where there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server, which is not on this machine")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    options = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, *options], stdout=log, stderr=log)
    try:
        _wait_until_open(port, server)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(timeout=10)


def _wait_until_open(port: int, server: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("redis-server does not listen")
