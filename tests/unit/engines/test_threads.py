from __future__ import annotations

import os

import pytest

from serve_app.engines.threads import share_cpus


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What was put into the environment of libraries."""
    found: dict[str, str] = {}
    monkeypatch.setattr(os, "putenv", found.__setitem__)
    monkeypatch.delitem(os.environ, "OMP_WAIT_POLICY", raising=False)
    monkeypatch.delitem(os.environ, "GOMP_SPINCOUNT", raising=False)
    found.clear()
    return found


def test_threads_spin_for_less_than_a_millisecond(put: dict[str, str]) -> None:
    share_cpus()
    assert 1_000 <= int(put["GOMP_SPINCOUNT"]) <= 20_000


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_set_stays(put: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    put.clear()
    share_cpus()
    assert "GOMP_SPINCOUNT" not in put
