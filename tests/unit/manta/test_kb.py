"""`manta kb`: what it asks a server, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner

from manta import client as client_module
from manta.commands import ingest as ingest_module
from manta.commands.kb import rebuild, search, status, sync
from manta.commands.kb import watch as watch_module
from manta.commands.kb.watch import watch
from manta.sync import collect
from serve_app.errors import BadRequest

REACHING = {"endpoint", "region", "public_bucket", "allow_host", "allow_private"}
REAL_CLIENT = httpx.Client
Answer = Callable[[httpx.Request], httpx.Response]
PASSAGE = {
    "source": "docs", "path": "a.md", "page": 3, "headings": ["Rays"], "text": "Mantas glide. " * 40, "score": 0.0325,
    "bm25": 4.2, "cosine": 0.71, "lexical_rank": 1, "dense_rank": 2, "rerank": None,
}  # fmt: skip


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[Any]]:
    """Has every client talk to a function; gives the bodies that it got."""

    def use(answer: Answer) -> list[Any]:
        seen: list[Any] = []

        def handle(request: httpx.Request) -> httpx.Response:
            seen.append((request.url.path, json.loads(request.content or b"null")))
            return answer(request)

        monkeypatch.setattr(
            client_module.httpx,
            "Client",
            lambda **options: REAL_CLIENT(**(options | {"transport": httpx.MockTransport(handle)})),
        )
        return seen

    return use


def run(command: click.Command, *words: str) -> Any:
    return CliRunner().invoke(command, words, standalone_mode=False, catch_exceptions=False)


def test_search_explained(serve: Any) -> None:
    found = {"data": [PASSAGE], "flags": ["rerank_skipped"], "took_s": 0.004, "stages_ms": {"embed": 1.5}}
    seen = serve(lambda _: httpx.Response(200, json=found | {"stale_sources": ["docs"]}))
    done = run(search.command, "mantas", "--explain", "-k", "3", "--lexical-weight", "2", "--no-rerank")
    assert done.return_value == 0
    assert seen[0][1] == {
        "query": "mantas", "k": 3, "mode": "hybrid", "filters": {}, "weights": {"lexical": 2.0, "dense": 1.0},
        "rerank": False, "explain": True,
    }  # fmt: skip
    for shown in ("docs/a.md, page 3 (Rays)", "0.0325", "#1", "4.20", "#2", "0.710"):
        assert shown in done.stdout
    assert "rerank_skipped" in done.stderr
    assert "not current: docs" in done.stderr


def test_search_plain_and_of_nothing(serve: Any) -> None:
    serve(lambda _: httpx.Response(200, json={"data": [PASSAGE], "flags": [], "took_s": 0.1}))
    done = run(search.command, "mantas")
    assert "Mantas glide. Mantas glide." in done.stdout
    assert "..." in done.stdout
    serve(lambda _: httpx.Response(200, json={"data": [], "flags": [], "took_s": 0.1}))
    assert run(search.command, "mantas").return_value == 1


def standing(name: str, kind: str, reason: str = "") -> dict[str, Any]:
    return {
        "source": name, "standing": kind, "reason": reason, "num_documents": 1200, "checked_at": "", "synced_at": "",
    }  # fmt: skip


def test_status(serve: Any) -> None:
    answer = {
        "num_documents": 2400, "num_chunks": 9000, "store": "lancedb", "embedding_id": "minilm",
        "standings": [standing("docs", "fresh"), standing("wiki", "never_synced", "nobody [has] looked")],
    }  # fmt: skip
    serve(lambda _: httpx.Response(200, json=answer))
    done = run(status.command)
    assert done.return_value == 0
    for shown in ("docs", "fresh", "never synced", "1,200", "nobody [has] looked"):
        assert shown in done.stdout
    assert run(status.command, "--check").return_value == 1


def test_a_rebuild_goes_on_until_nothing_is_left(serve: Any) -> None:
    left = iter((300, 0))

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["x-request-timeout-s"] == "600"
        num_left = next(left)
        report = {"num_reembedded": 10, "num_left": num_left, "num_wanted": 0, "is_reindexed": num_left == 0}
        return httpx.Response(200, json=report)

    seen = serve(answer)
    done = run(rebuild.command)
    assert (done.return_value, len(seen)) == (0, 2)
    assert "20 documents were embedded again" in done.stderr


def test_sync(serve: Any) -> None:
    seen = serve(lambda _: httpx.Response(200, json={}))
    assert run(sync.command, "docs", "wiki").return_value == 0
    assert seen == [("/v1/knowledge/sync/start", {"source": one}) for one in ("docs", "wiki")]


def test_watching(serve: Any, tmp_path: Path) -> None:
    """Looks, waits, looks again; a look that fails is noted, and the next one made all the same."""
    (tmp_path / "a.md").write_text("Rays.")
    plans = iter((503, 200, 200))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/sync/plan"):
            code = next(plans)
            if code != 200:
                return httpx.Response(code, json={"error": {"message": "the store is down"}})
            return httpx.Response(200, json={"upload": [], "num_unchanged": 1, "gone": []})
        return httpx.Response(200, json={})

    seen = serve(answer)
    slept: list[float] = []
    with client_module.MantaClient() as client:
        code = watch(client, lambda: collect([tmp_path], "docs"), 5.0, 3, slept.append)
    assert (code, slept) == (0, [5.0, 5.0])
    paths = [path for path, _ in seen]
    assert paths.count("/v1/knowledge/sync/plan") == 3
    assert [body for path, body in seen if path.endswith("/sync/failure")] == [
        {"source": "docs", "reason": "503: the store is down"}
    ]


def test_a_place_that_is_away_for_a_while_ends_no_watch(serve: Any, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("Rays.")
    plan = {"upload": [], "num_unchanged": 1, "gone": []}
    seen = serve(lambda request: httpx.Response(200, json=plan if request.url.path.endswith("/plan") else {}))
    moves = iter(((folder, tmp_path / "away"), (tmp_path / "away", folder)))

    def sleep(_: float) -> None:
        here, there = next(moves)
        here.rename(there)

    with client_module.MantaClient() as client:
        assert watch(client, lambda: collect([folder]), 1.0, 3, sleep) == 0
        failures = [body for path, body in seen if path.endswith("/sync/failure")]
        assert failures == [{"source": "docs", "reason": f"{folder}: no such file or folder"}]
        assert [path for path, _ in seen].count("/v1/knowledge/sync/plan") == 2
        with pytest.raises(BadRequest, match="no such file"):  # a slip of the pen is told at once
            watch(client, lambda: collect([tmp_path / "docz"]), 1.0, 3, sleep)


def test_what_is_watched_is_reached_as_what_is_ingested() -> None:
    def reaching(one: click.Command) -> set[str]:
        return {name for name in (option.name for option in one.params) if name in REACHING}

    assert reaching(watch_module.command) == reaching(ingest_module.command) == REACHING
