"""What the job's command line says of its places reaches them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serve_app.retrieval.ingest import __main__ as entry
from serve_app.retrieval.sources.syncing import SyncReport


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    args = {
        "home": str(tmp_path / "home"),
        "models": [{"name": "extractive", "engine": "extractive"}],
        "embedder": {"name": "embedder", "engine": "mock", "dim": 16},
        "agent": {"name": "manta", "models": ["extractive"]},
    }
    path = tmp_path / "profile.yaml"
    document = {"applications": [{"name": "manta", "import_path": "serve_app.app:build", "args": args}]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sources of a run that ingests nothing."""
    taken: list[Any] = []

    def run(platform: Any, home: Path, sources: list[Any], settings: Any, watch: Any) -> SyncReport:
        taken.extend(sources)
        return SyncReport()

    monkeypatch.setattr(entry, "run", run)
    return taken


def test_hosts_of_pages(profile: Path, chosen: list[Any]) -> None:
    words = ["https://docs.example.org/a.html", "--allow-host", "cdn.example.org", "--allow-private"]
    assert entry.main([*words, "--profile", str(profile)]) == 0
    [pages] = chosen
    config = pages.open()._config
    assert (config.allow, config.allow_private) == (("docs.example.org", "cdn.example.org"), True)


def test_endpoint_and_region_of_a_bucket(profile: Path, chosen: list[Any]) -> None:
    words = [
        "s3://handbook/a/",
        "--endpoint",
        "http://127.0.0.1:9",
        "--region",
        "eu-central-1",
        "--public-bucket",
    ]
    assert entry.main([*words, "--profile", str(profile)]) == 0
    [bucket] = chosen
    config = bucket.open()._config
    assert (config.endpoint, config.region, config.is_public) == ("http://127.0.0.1:9", "eu-central-1", True)


def test_a_place_that_is_not_there_breaks_it_off(
    profile: Path, chosen: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(["no/such/folder", "--profile", str(profile)]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert chosen == []
