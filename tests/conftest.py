"""Fixtures of every tier."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from serve_app.messages import Deadline, RequestContext

ROOT = Path(__file__).resolve().parents[1]

# How fast a machine is at the moment is no property of what is tested.
settings.register_profile("manta", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("manta")


@pytest.fixture
def repository() -> Path:
    """The checkout's root."""
    return ROOT


@pytest.fixture
def context() -> RequestContext:
    """A request with plenty of time."""
    return RequestContext(request_id="test", tenant="default", deadline=Deadline.after(600.0))


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives ports of loopback on which nothing listens."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


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
