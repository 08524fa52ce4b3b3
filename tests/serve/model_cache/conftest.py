"""Servers on loopback that speak a hub's protocol and S3's."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from serve_app.model_cache import ranges

REPO = "acme/tiny"
REVISION = "c0ffee" + "0" * 34
RANGE_BYTES = 1000


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_BYTES", RANGE_BYTES)


def safetensors(num_values: int) -> bytes:
    """A whole safetensors file."""
    header = json.dumps(
        {"w": {"dtype": "U8", "shape": [num_values], "data_offsets": [0, num_values]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(n % 251 for n in range(num_values))


MODEL: dict[str, bytes] = {
    "config.json": b'{"model_type": "tiny"}',
    "tokenizer.json": b"{}",
    "model-00001-of-00002.safetensors": safetensors(9000),
    "model-00002-of-00002.safetensors": safetensors(4000),
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    ).encode(),
    "README.md": b"# Tiny",
    "modeling_tiny.py": b"print('code')",
    "original/consolidated.safetensors": b"the same again",
}
FETCHED = {path for path in MODEL if path.endswith((".json", ".safetensors")) and "/" not in path}


class Hub:
    """A hub as far as clients see it: a listing in pages, small files itself, large ones on another host.

    Faults are set by the test: `breaks` closes that many connections in the middle of a body, `corrupt` names a file
    whose bytes are wrong, `status` answers every listing.
    """

    repo = REPO
    revision = REVISION
    chosen = FETCHED  # by HubFolder's defaults

    def __init__(self) -> None:
        self.files = dict(MODEL)
        self.requests: list[tuple[str, str | None, str | None]] = []  # path, range, authorization
        self.breaks = 0
        self.corrupt: str | None = None
        self.status: tuple[int, str] | None = None  # with the hub's own code
        self.token: str | None = None
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked_for(self, name: str) -> list[str | None]:
        """The ranges of a file's bytes that were asked for, at whichever host has them."""
        return [
            span for path, span, _ in self.requests if path.startswith(("/cdn/", f"/{REPO}")) and name in path
        ]

    def is_large(self, path: str) -> bool:
        return path.endswith(".safetensors")

    def entries(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = [{"type": "directory", "path": "original", "oid": "0" * 40, "size": 0}]
        for path, content in self.files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
            entry: dict[str, Any] = {
                "type": "file",
                "path": path,
                "size": len(content),
                "oid": blob.hexdigest(),
            }
            if self.is_large(path):
                oid = hashlib.sha256(content).hexdigest()
                entry |= {"oid": "b" * 40, "lfs": {"oid": oid, "size": len(content), "pointerSize": 134}}
            listed.append(entry)
        return listed


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:  # noqa: C901 (the methods of one class)
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            return

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            with hub.lock:
                hub.requests.append((url.path, self.headers["Range"], self.headers["Authorization"]))
            if url.path == f"/api/models/{REPO}/tree/{REVISION}":
                self._list("cursor" in url.query)
            elif url.path.startswith("/api/"):
                code = "RevisionNotFound" if f"/{REPO}/" in url.path else "RepoNotFound"
                self._answer(404, b'{"error":"not here"}', {"X-Error-Code": code})
            elif url.path.startswith("/cdn/"):
                self._content(url.path.removeprefix("/cdn/"))
            else:
                self._resolve(url.path.removeprefix(f"/{REPO}/resolve/{REVISION}/"))

        def _list(self, is_second: bool) -> None:
            if hub.status is not None:
                self._answer(hub.status[0], b"{}", {"X-Error-Code": hub.status[1]} if hub.status[1] else {})
                return
            if hub.token is not None and self.headers["Authorization"] != f"Bearer {hub.token}":
                self._answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
                return
            entries = hub.entries()
            page = entries[4:] if is_second else entries[:4]
            next_page = f'<{hub.url}{self.path}&cursor=2>; rel="next"'
            self._answer(200, json.dumps(page).encode(), {} if is_second else {"Link": next_page})

        def _resolve(self, path: str) -> None:
            if path not in hub.files:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            elif hub.is_large(path):
                oid = hashlib.sha256(hub.files[path]).hexdigest()
                # Another host to the client: a token must not go there.
                location = f"http://localhost:{hub.port}/cdn/{path}?signature=abc%2Fdef"
                headers = {"Location": location, "X-Linked-Etag": f'"{oid}"', "X-Repo-Commit": REVISION}
                self._answer(302, b"", headers)
            else:
                self._content(path)

        def _content(self, path: str) -> None:
            content = hub.files[path]
            if path == hub.corrupt:
                content = content[:-1] + bytes([content[-1] ^ 1])
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
            headers, status = {"Accept-Ranges": "bytes"}, 200
            body = content
            if match:
                start, status = int(match[1]), 206
                body = content[start : int(match[2]) + 1]
                headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{len(content)}"
            with hub.lock:
                breaks = hub.breaks > 0 and hub.is_large(path)
                hub.breaks -= breaks
            self._answer(status, body, headers, breaks=breaks)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, *, breaks: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if breaks else body)
            self.close_connection = breaks

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    try:
        yield server
    finally:
        server.close()


class Bucket:
    """A bucket of moto's S3 on loopback, and how to write into it."""

    name = "models"

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        config = {"endpoint": endpoint, "region": "us-east-1"}
        httpx.put(f"{endpoint}/{self.name}").raise_for_status()
        self.store = S3Store(self.name, config=config, client_options={"allow_http": True})

    def put(self, folder: str, files: dict[str, bytes]) -> None:
        for path, content in files.items():
            obstore.put(self.store, f"{folder}/{path}", content)

    def put_model(self, folder: str) -> dict[str, bytes]:
        """A model with its SHA256SUMS; returns what was put."""
        files = {path: MODEL[path] for path in sorted(FETCHED)}
        lines = "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in files.items())
        files["SHA256SUMS"] = lines.encode()
        self.put(folder, files)
        return files


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """moto's S3 server, on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket."""
    for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    httpx.post(f"{s3_endpoint}/moto-api/reset").raise_for_status()
    return Bucket(s3_endpoint)
