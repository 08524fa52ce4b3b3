from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click.testing
import pytest
import yaml

from manta.commands import keys
from serve_app.errors import BadRequest, ConfigError, NotFound


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return written(tmp_path, {"authentication": {"keys": {"store": "embedded"}}, "audit": {}})


def written(folder: Path, door: dict[str, Any]) -> Path:
    platform = {
        "home": str(folder),
        "models": [{"name": "m", "engine": "mock"}],
        "embedder": {"name": "e", "engine": "mock"},
        "agent": {"models": ["m"]},
        "door": door,
    }
    path = folder / "profile.yaml"
    path.write_text(
        yaml.safe_dump({"applications": [{"import_path": "serve_app.app:build", "args": platform}]})
    )
    return path


def run(profile: Path, *words: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(
        keys.command, [*words, "--profile", str(profile)], catch_exceptions=False
    )


def made(profile: Path, *words: str) -> str:
    """The key, as it stands on stdout alone."""
    return run(profile, "create", *words).stdout.strip().splitlines()[-1]


def test_a_key_is_shown_once(profile: Path) -> None:
    key = made(profile, "ci", "--tenant", "team-a", "--days", "3")
    _, key_id, secret = key.split("_")
    listed = run(profile, "list").output
    assert key_id in listed
    assert "team-a" in listed
    assert "until" in listed
    assert secret not in listed


@pytest.mark.parametrize("name", ["key", "shown", "id"])
def test_a_key_is_revoked_by_any_of_its_names(profile: Path, name: str) -> None:
    key = made(profile, "ci")
    key_id = key.split("_")[1]
    run(profile, "revoke", {"key": key, "shown": f"manta_{key_id}_...", "id": key_id}[name])
    assert key_id not in run(profile, "list").output
    assert "revoked" in run(profile, "list", "--all").output


def test_what_administrators_do_is_written_down(profile: Path, tmp_path: Path) -> None:
    key = made(profile, "ci", "--tenant", "team-a")
    run(profile, "revoke", key)
    text = (tmp_path / "audit" / "admin.jsonl").read_text()
    acts = [json.loads(line) for line in text.splitlines()]
    assert [(act["action"], act["subject"], act["tenant"]) for act in acts] == [
        ("key.create", key.split("_")[1], "team-a"),
        ("key.revoke", key.split("_")[1], "team-a"),
    ]
    assert key.split("_")[2] not in text


def test_mistakes_are_named(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no key"):
        run(profile, "revoke", "nobody")
    with pytest.raises(BadRequest, match="is no name of a tenant"):
        run(profile, "create", "x", "--tenant", "two words")
    with pytest.raises(BadRequest, match="max_concurrent"):
        run(profile, "create", "x", "--max-concurrent", "0")
    with pytest.raises(ConfigError, match=r"door\.authentication\.keys"):
        run(written(tmp_path, {}), "list")
