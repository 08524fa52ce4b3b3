"""A reference server that answers fast."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from benchmarks.reference_server.process import ReferenceServer, running


@pytest.fixture(autouse=True)
def _on_linux() -> None:
    if sys.platform != "linux":
        pytest.skip("the reference server needs Linux")


@pytest.fixture
def server() -> Iterator[ReferenceServer]:
    with running(ttft_ms=4, tpot_ms=1) as server:
        yield server
