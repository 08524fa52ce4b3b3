"""A real application on a Ray of its own, started by the command that users type."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

START_TIMEOUT_S = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(START_TIMEOUT_S + 60))


@pytest.fixture(scope="session", autouse=True)
def _no_pandas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Serve imports pandas where it finds it, in each process: more than a third of what its imports cost.

    Here the client of Milvus brings it, which users have only with the extra of that name.
    """
    hidden = tmp_path_factory.mktemp("no-pandas")
    (hidden / "pandas.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'pandas'\", name='pandas')\n"
    )
    paths = [str(hidden), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        yield


@pytest.fixture(scope="session")
def spans(otlp_receiving: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    """What the application exports: spans of the requests that ask for it by their `traceparent`."""
    with otlp_receiving() as got:
        yield got


@dataclass(frozen=True)
class Up:
    """An application that `manta up` serves."""

    url: str
    process: psutil.Process  # what users start; replicas are below it
    log: Path


@pytest.fixture(scope="session")
def manta_up(free_port: Callable[[], int]) -> Callable[..., AbstractContextManager[Up]]:
    """Serve a profile until the block ends: `manta_up(profile, folder, **variables)`, home and log in the folder."""

    @contextmanager
    def up(profile: Path, folder: Path, **variables: str) -> Iterator[Up]:
        port, log = free_port(), folder / "up.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "manta", "up", str(profile), "--port", str(port)],
                env=os.environ | {"MANTA_HOME": str(folder / "home")} | variables,
                stdout=sink,
                stderr=sink,
            )
        try:
            give_up = time.monotonic() + START_TIMEOUT_S
            while "Serving on" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < give_up, f"not ready in time: {log.read_text()}"
                time.sleep(0.2)
            yield Up(f"http://127.0.0.1:{port}", psutil.Process(process.pid), log)
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0, log.read_text()

    return up


@pytest.fixture(scope="session")
def started(
    manta_up: Callable[..., AbstractContextManager[Up]], tmp_path_factory: pytest.TempPathFactory, spans: Any
) -> Iterator[Up]:
    """An application of `profile.yaml`, which most tests of this tier ask."""
    with manta_up(
        Path(__file__).with_name("profile.yaml"),
        tmp_path_factory.mktemp("profile"),
        OTEL_EXPORTER_OTLP_ENDPOINT=spans.url,
        OTEL_TRACES_SAMPLER="parentbased_always_off",
    ) as up:
        yield up


@pytest.fixture(scope="session")
def url(started: Up) -> str:
    """The application's address."""
    return started.url


@pytest.fixture(scope="session")
def application(started: Up) -> psutil.Process:
    """The process that users start; replicas are below it."""
    return started.process
