"""Fixtures of every tier."""

from __future__ import annotations

import socket
from collections.abc import Callable
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
    return RequestContext(request_id="test", tenant="default", deadline=Deadline.after(60.0))


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives ports of loopback on which nothing listens."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find
