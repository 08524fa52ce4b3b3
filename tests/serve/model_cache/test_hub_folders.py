"""Model folders from a hub on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.schema import HubFolder
from serve_app.errors import ConfigError, Unavailable
from serve_app.model_cache.cache import ensure, locate, why_missing

KEY = "models.tiny.weights"
SHARD = "model-00001-of-00002.safetensors"

ENSURE = """
import sys
from pathlib import Path
from configs.schema import HubFolder
from serve_app.model_cache import ranges
from serve_app.model_cache.cache import ensure
ranges.RANGE_BYTES = 1000
sys.stdin.readline()
print(ensure(HubFolder(repo=sys.argv[1], revision=sys.argv[2]), Path(sys.argv[3])))
"""


def weights(hub: Any, **changes: Any) -> HubFolder:
    return HubFolder(**({"repo": hub.repo, "revision": hub.revision} | changes))


def fetched(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_whole_and_is_found_again(tmp_path: Path, hub: Any) -> None:
    chosen = weights(hub)
    assert locate(chosen, tmp_path) is None
    assert "manta models pull" in (why_missing(chosen, tmp_path) or "")
    path = ensure(chosen, tmp_path)
    assert fetched(path) == hub.chosen | {".manta.json"}
    assert all((path / name).read_bytes() == hub.files[name] for name in hub.chosen)
    facts = json.loads((path / ".manta.json").read_text())
    assert facts["source"] == f"{hub.repo}@{hub.revision}"
    assert facts["files"][SHARD]["sha256"] == hashlib.sha256(hub.files[SHARD]).hexdigest()
    asked = len(hub.requests)
    assert ensure(chosen, tmp_path) == locate(chosen, tmp_path) == path
    assert why_missing(chosen, tmp_path) is None
    assert len(hub.requests) == asked


def test_large_files_come_in_ranges_and_small_ones_at_once(tmp_path: Path, hub: Any) -> None:
    ensure(weights(hub), tmp_path)
    spans = hub.asked_for(f"cdn/{SHARD}")
    assert len(spans) == -(-len(hub.files[SHARD]) // 1000)
    assert sorted(spans)[0] == "bytes=0-999"
    assert hub.asked_for("config.json") == [None]


def test_the_token_goes_to_the_hub_alone(tmp_path: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "word-of-the-test"
    monkeypatch.setenv("HF_TOKEN", hub.token)
    ensure(weights(hub), tmp_path)
    bearers = {path.startswith("/cdn/"): authorization for path, _, authorization in hub.requests}
    assert bearers == {False: "Bearer word-of-the-test", True: None}


def test_broken_connections_are_taken_up_again(tmp_path: Path, hub: Any) -> None:
    hub.breaks = 3
    path = ensure(weights(hub), tmp_path)
    assert (path / SHARD).read_bytes() == hub.files[SHARD]


def test_a_hub_that_breaks_off_for_good_is_named_and_resumed_later(tmp_path: Path, hub: Any) -> None:
    hub.breaks = 10_000
    with pytest.raises(Unavailable, match=rf"{KEY}\.revision: model-\S+ of {hub.repo}"):
        ensure(weights(hub), tmp_path, key=KEY)
    assert locate(weights(hub), tmp_path) is None
    hub.breaks, before = 0, len(hub.requests)
    ensure(weights(hub), tmp_path)
    assert "config.json" not in "".join(path for path, _, _ in hub.requests[before:])


def test_bytes_that_are_not_the_commits_are_never_used(tmp_path: Path, hub: Any) -> None:
    hub.corrupt = SHARD
    with pytest.raises(ConfigError, match=rf"{KEY}\.revision: {SHARD} of .* sha256 checksum"):
        ensure(weights(hub), tmp_path, key=KEY)
    assert locate(weights(hub), tmp_path) is None
    hub.corrupt = None
    assert (ensure(weights(hub), tmp_path) / SHARD).read_bytes() == hub.files[SHARD]
    hub.corrupt = "tokenizer.json"  # small files are known by git's checksum
    with pytest.raises(ConfigError, match=r"tokenizer\.json of .* git checksum"):
        ensure(weights(hub), tmp_path, key=KEY, force=True)
    assert (ensure(weights(hub), tmp_path) / "tokenizer.json").read_bytes() == hub.files["tokenizer.json"]


def test_a_pin_of_ones_own_is_held_against_the_hub(tmp_path: Path, hub: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{KEY}\.checksums: {SHARD} has the checksum .* not the pinned"):
        ensure(weights(hub, checksums={SHARD: "0" * 64}), tmp_path, key=KEY)
    with pytest.raises(ConfigError, match=rf"{KEY}\.checksums: 'nope' is none of the files"):
        ensure(weights(hub, checksums={"nope": "0" * 64}), tmp_path, key=KEY)
    with pytest.raises(ConfigError, match=r"config\.json of .* sha256 checksum"):
        ensure(weights(hub, checksums={"config.json": "0" * 64}), tmp_path, key=KEY)
    right = {name: hashlib.sha256(hub.files[name]).hexdigest() for name in (SHARD, "config.json")}
    assert ensure(weights(hub, checksums=right), tmp_path).is_dir()


def test_what_the_hub_does_not_have_is_named_with_its_key(tmp_path: Path, hub: Any) -> None:
    with pytest.raises(
        ConfigError, match=rf"{KEY}\.revision: 127\.0\.0\.1 has no commit a{{40}} of {hub.repo}"
    ):
        ensure(weights(hub, revision="a" * 40), tmp_path, key=KEY)
    with pytest.raises(ConfigError, match=rf"{KEY}\.repo: 127\.0\.0\.1 has no acme/none, or it is private"):
        ensure(weights(hub, repo="acme/none"), tmp_path, key=KEY)
    with pytest.raises(ConfigError, match=rf"{KEY}\.include: chooses none of the 8 files"):
        ensure(weights(hub, include=("*.bin",)), tmp_path, key=KEY)


@pytest.mark.parametrize(
    ("status", "code", "error", "words"),
    [
        (403, "GatedRepo", ConfigError, "asks for its terms to be accepted before acme/tiny is read"),
        (401, "RepoNotFound", ConfigError, "or it is private; HF_TOKEN names who asks"),
        (429, "", Unavailable, r"cannot list acme/tiny at the moment \(HTTP 429\)"),
        (503, "", Unavailable, r"at the moment \(HTTP 503\)"),
    ],
)
def test_a_hub_that_refuses_is_named(
    tmp_path: Path, hub: Any, status: int, code: str, error: type[Exception], words: str
) -> None:
    hub.status = (status, code)
    with pytest.raises(error, match=rf"{KEY}\.repo: 127\.0\.0\.1 .*{words}"):
        ensure(weights(hub), tmp_path, key=KEY)


def test_a_hub_that_cannot_be_reached_is_named(
    tmp_path: Path, hub: Any, monkeypatch: pytest.MonkeyPatch, free_port: Any
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(
        Unavailable, match=rf"{KEY}\.repo: the hub 127\.0\.0\.1 cannot be reached for acme/tiny"
    ):
        ensure(weights(hub), tmp_path, key=KEY)


def test_a_damaged_folder_is_named_and_repaired_by_force(tmp_path: Path, hub: Any) -> None:
    path = ensure(weights(hub), tmp_path)
    (path / SHARD).write_bytes(b"half")
    with pytest.raises(
        ConfigError, match=rf"{KEY}: .* is broken: {SHARD} has 4 bytes instead of \d+; repair"
    ):
        locate(weights(hub), tmp_path, KEY)
    assert ensure(weights(hub), tmp_path, force=True) == path
    assert (path / SHARD).read_bytes() == hub.files[SHARD]
    assert sorted(entry.name for entry in path.parent.iterdir() if entry.is_dir()) == [path.name]


def test_another_choice_of_files_is_another_folder(tmp_path: Path, hub: Any) -> None:
    usual = ensure(weights(hub), tmp_path)
    with_code = ensure(weights(hub, include=("*.json", "*.safetensors", "*.py"), exclude=()), tmp_path)
    assert with_code != usual
    assert (with_code / "modeling_tiny.py").exists()
    assert (with_code / "original" / "consolidated.safetensors").exists()


def test_two_processes_fetch_once(tmp_path: Path, hub: Any) -> None:
    command = [sys.executable, "-c", ENSURE, hub.repo, hub.revision, str(tmp_path)]
    processes = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_ENDPOINT": hub.url},
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    paths = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(paths) == 1
    assert Path(paths.pop()) == locate(weights(hub), tmp_path)
    spans = hub.asked_for(f"cdn/{SHARD}")
    assert len(spans) == len(set(spans)) == -(-len(hub.files[SHARD]) // 1000)


def test_a_killed_process_leaves_what_the_next_resumes(tmp_path: Path, hub: Any) -> None:
    hub.breaks = 10_000  # it comes no further than the small files
    command = [sys.executable, "-c", ENSURE, hub.repo, hub.revision, str(tmp_path)]
    environment = os.environ | {"HF_ENDPOINT": hub.url}
    done = subprocess.run(
        command, input="go\n", text=True, capture_output=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "resume" in done.stderr or "cannot be fetched at the moment" in done.stderr
    assert locate(weights(hub), tmp_path) is None
    hub.breaks = 0
    path = ensure(weights(hub), tmp_path)
    assert fetched(path) == hub.chosen | {".manta.json"}
