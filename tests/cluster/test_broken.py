"""Things that break: a replica that dies, and starts that cannot work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

PROFILE = Path(__file__).with_name("plain.yaml")


def changed_profile(folder: Path, **args: Any) -> Path:
    document = yaml.safe_load(PROFILE.read_text())
    document["applications"][0]["args"].update(args)
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def up(profile: Path, home: Path, port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "manta", "up", str(profile), "--once", "--port", str(port)]
    environment = os.environ | {"MANTA_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)


def test_a_dead_embedder_degrades_answers_and_comes_back(url: str, application: psutil.Process) -> None:
    with httpx.Client(
        base_url=url, timeout=60, trust_env=False, headers={"x-manta-tenant": "faults"}
    ) as http:
        body = {
            "source": "s",
            "documents": [{"path": "a.txt", "text": "Manta rays filter plankton at night."}],
        }
        assert http.post("/v1/knowledge/documents", json=body).json()["counts"]["added"] == 1
        (embedder,) = [
            process
            for process in application.children(recursive=True)
            if "ServeReplica:manta:Embedder" in " ".join(process.cmdline())
        ]
        embedder.kill()
        flags: set[str] = set()
        give_up = time.monotonic() + 120
        while time.monotonic() < give_up:
            # Each answer is complete; those made without the embedder say so.
            response = http.post("/v1/knowledge/search", json={"query": "manta rays"})
            assert response.status_code == 200, response.text
            assert "plankton" in response.json()["data"][0]["text"]
            flags.update(response.json()["flags"])
            is_back = http.get("/readyz").status_code == 200 and not response.json()["flags"]
            if is_back and not embedder.is_running():
                break
        assert flags <= {"lexical_only"}
        assert http.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modles": []}, "modles: Extra inputs are not permitted"),
        (
            {"embedder": {"name": "e", "engine": "llamacpp", "weights": {"path": "BROKEN"}}},
            "broken.gguf",
        ),
        pytest.param(
            {"embedder": {"name": "e", "engine": "llamacpp", "weights": {"path": "/nowhere.gguf"}}},
            "/nowhere.gguf",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_start_that_cannot_work_says_why_on_one_line(
    tmp_path: Path, free_port: Any, change: dict[str, Any], words: str
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 4000)
    text = changed_profile(tmp_path, **change).read_text().replace("BROKEN", str(broken))
    (tmp_path / "profile.yaml").write_text(text)
    done = up(tmp_path / "profile.yaml", tmp_path / "home", free_port())
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("manta: ")
    assert words in last
    assert "Traceback" not in done.stderr
