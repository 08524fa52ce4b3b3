"""The real RAGAS, in an environment that has it beside the application: `make test-ragas` makes it and runs these."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.scripted_model.application import scripted_model

_WHY = "no RAGAS in this environment; `make test-ragas` runs these in one that has it"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("ragas") is None:
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.skip(reason=_WHY))


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    """A writer that is easily misled and a judge that is never wrong, behind OpenAI's API."""
    with scripted_model(0.0, 0.0) as url:
        yield url
