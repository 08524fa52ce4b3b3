"""A real application on a Ray of its own, started by the command that users type."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

START_TIMEOUT_S = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(START_TIMEOUT_S + 60))


@pytest.fixture(scope="session")
def manta_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def spans(otlp_receiving: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    """What the application exports: spans of the requests that ask for it by their `traceparent`."""
    with otlp_receiving() as got:
        yield got


@pytest.fixture(scope="session")
def started(
    manta_home: Path, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], spans: Any
) -> Iterator[tuple[str, psutil.Process]]:
    """An application of `profile.yaml`: its address and its first process."""
    port = free_port()
    log = tmp_path_factory.mktemp("log") / "up.log"
    command = [sys.executable, "-m", "manta", "up", str(Path(__file__).with_name("profile.yaml"))]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=os.environ
            | {
                "MANTA_HOME": str(manta_home),
                "OTEL_EXPORTER_OTLP_ENDPOINT": spans.url,
                "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            },
            stdout=sink,
            stderr=sink,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address, process, log)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text()


@pytest.fixture(scope="session")
def url(started: tuple[str, psutil.Process]) -> str:
    """The application's address."""
    return started[0]


@pytest.fixture(scope="session")
def application(started: tuple[str, psutil.Process]) -> psutil.Process:
    """The process that users start; replicas are below it."""
    return started[1]


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{address}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not ready in time: {log.read_text()}")
