"""Fixtures of every tier."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.messages import Deadline, RequestContext

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def repository() -> Path:
    """The checkout's root."""
    return ROOT


@pytest.fixture
def context() -> RequestContext:
    """A request with plenty of time."""
    return RequestContext(request_id="test", tenant="default", deadline=Deadline.after(60.0))
