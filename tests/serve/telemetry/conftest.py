"""A receiver of what is exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest


@pytest.fixture
def receiver(otlp_receiving: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    with otlp_receiving() as got:
        yield got
