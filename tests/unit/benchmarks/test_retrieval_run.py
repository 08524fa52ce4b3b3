"""What the command says when the application cannot answer."""

from __future__ import annotations

import httpx
import pytest

from benchmarks.retrieval.beir import Collection
from benchmarks.retrieval.run import measure

OVERLOADED = {"error": {"message": "the store does not answer: it was asked to wait", "type": "server_error"}}


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every client of the benchmark is answered by an application that refuses."""
    transport = httpx.MockTransport(lambda _: httpx.Response(503, json=OVERLOADED))
    made = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **options: made(**options, transport=transport))


@pytest.mark.usefixtures("refusing")
def test_a_refusal_is_told_in_the_applications_words() -> None:
    with pytest.raises(httpx.HTTPStatusError, match="status answered 503: the store does not answer: it was"):
        measure("http://127.0.0.1:1", Collection("some", "test", (), {}, {}))
