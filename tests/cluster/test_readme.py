"""What the README shows is run as it stands; only the address and the embedder's name are the tests' own."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


def blocks(repository: Path, language: str) -> list[str]:
    text = (repository / "README.md").read_text()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for marked, block in found if marked == language]


@pytest.fixture(scope="module")
def documented(url: str) -> str:
    """The address of an application that knows something to answer from."""
    text = "A sync compares hashes to find out what changed. A chunk hash is the hash of what is embedded."
    body = {"source": "s", "documents": [{"path": "a.txt", "text": text}]}
    httpx.post(f"{url}/v1/knowledge/documents", json=body, timeout=60, trust_env=False).raise_for_status()
    return url


def test_the_python_example(documented: str, repository: Path) -> None:
    (code,) = blocks(repository, "python")
    assert "http://127.0.0.1:8000" in code
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.replace("http://127.0.0.1:8000", documented), {})
    assert "compares hashes" in printed.getvalue()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_examples(documented: str, repository: Path) -> None:
    commands = [
        line for block in blocks(repository, "") for line in block.splitlines() if line.startswith("curl")
    ]
    assert len(commands) == 2
    outputs = []
    for command in commands:
        mine = command.replace("http://127.0.0.1:8000", documented).replace("all-minilm-l6-v2", "embedder")
        done = subprocess.run(
            ["curl", "--fail-with-body", *shlex.split(mine)[1:]], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        outputs.append(done.stdout)
    assert '"embedding":[' in outputs[0]
    assert "event: answer.final" in outputs[1]


def test_the_load_test(documented: str, repository: Path, tmp_path: Path) -> None:
    (command,) = [
        line
        for block in blocks(repository, "")
        for line in block.splitlines()
        if line.startswith("manta bench run")
    ]
    words = shlex.split(
        command.replace("--duration 30", "--duration 2").replace("all-minilm-l6-v2", "embedder")
    )
    words += ["--url", documented, "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    # 3: measured, but on a busy machine, and so marked.
    assert done.returncode in (0, 3), done.stderr
    assert re.search(r"Requests +\d+ answered", done.stdout), done.stdout
    (page,) = tmp_path.glob("*/report.html")
    assert "embeddings" in page.read_text()
