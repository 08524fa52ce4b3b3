"""How vLLM is started and how a start fails, with a stand-in for its server: the real one is in tests/vllm.

Whatever is wrong, it is one line with the key of the configuration, and no process is left.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.vllm_models.tensors import write_tensors
from configs.schema import LocalFolder, VllmModel
from serve_app.engines.vllm.start import open_vllm
from serve_app.errors import ConfigError

# In the place of vllm/entrypoints/cli/main.py. What it does is in the variable STAND_IN.
SERVER = """
import http.server, json, os, signal, socketserver, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = b"vllm:num_requests_running 0.0\\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass

class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

def serve():
    with open(os.environ["RECORD"], "w") as file:
        json.dump({"words": sys.argv[1:], "environment": dict(os.environ)}, file)
    Server(sys.argv[sys.argv.index("--uds") + 1], Handler).serve_forever()

def refuse_argument():
    print("usage: vllm serve [model_tag] [options]")
    print("vllm: error: unrecognized arguments: --max-nun-seqs 4")
    sys.exit(2)

def not_fit():
    raise MemoryError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

def be_killed():
    print("Loading weights", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def hang():
    print("Loading weights", flush=True)
    time.sleep(600)

{"fine": serve, "argument": refuse_argument, "memory": not_fit, "killed": be_killed, "hangs": hang}[
    os.environ["STAND_IN"]
]()
"""

Make = Callable[..., VllmModel]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where the stand-in writes down how it was started, once it was."""
    return tmp_path / "record.json"


@pytest.fixture
def make(tmp_path: Path, record: Path) -> Make:
    """Makes configurations of a model, whole, and an environment with the stand-in."""
    packages, model = tmp_path / "packages", tmp_path / "model"
    cli = packages / "vllm" / "entrypoints" / "cli"
    cli.mkdir(parents=True)
    (cli / "main.py").write_text(SERVER)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    model.mkdir()
    (model / "config.json").write_text("{}")

    def made(does: str, **changes: Any) -> VllmModel:
        given: dict[str, Any] = {
            "engine": "vllm",
            "name": "chat",
            "weights": LocalFolder(path=str(model)),
            "python": str(python),
            "env": {"STAND_IN": does, "RECORD": str(record)},
            "start_timeout_s": 120.0,
        }
        return VllmModel.model_validate(given | changes)

    return made


def children(marker: Path) -> list[psutil.Process]:
    """Processes of this one that have the folder in their command line."""
    found = []
    for one in psutil.Process().children(recursive=True):
        try:
            if str(marker) in " ".join(one.cmdline()):
                found.append(one)
        except psutil.Error:
            pass  # it has just ended
    return found


async def test_it_is_started_as_its_own_command_would(make: Make, record: Path, tmp_path: Path) -> None:
    engine = open_vllm(make("fine", max_model_len=64), tmp_path, 2)
    family = children(tmp_path)
    assert family
    await engine.check_health()
    said = json.loads(record.read_text())
    assert said["words"][:2] == ["serve", str(tmp_path / "model")]
    assert said["words"][said["words"].index("--max-model-len") + 1] == "64"
    assert said["environment"]["OMP_NUM_THREADS"] == "2"
    assert said["environment"]["PATH"].startswith(f"{tmp_path}:")
    socket = Path(said["words"][said["words"].index("--uds") + 1])
    assert socket.exists()
    await engine.close()
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert not socket.parent.exists()


@pytest.mark.parametrize(
    ("does", "changes", "told"),
    [
        (
            "argument",
            {"engine_args": {"max_nun_seqs": 4}},
            r"models\.chat\.engine_args\.max_nun_seqs: vLLM knows no",
        ),
        ("memory", {}, r"models\.chat\.weights: vLLM says: DefaultCPUAllocator: .*the model does not fit"),
        ("killed", {}, r"models\.chat\.weights: vLLM was killed by signal 9 .* Loading weights"),
        (
            "hangs",
            {"start_timeout_s": 1.0},
            r"vLLM did not answer within models\.chat\.start_timeout_s = 1 s",
        ),
    ],
)
def test_a_start_that_fails_is_one_line_and_leaves_nothing(
    make: Make, tmp_path: Path, does: str, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as failed:
        open_vllm(make(does, **changes), tmp_path, 1)
    assert "\n" not in failed.value.message
    assert children(tmp_path) == []


def test_an_interpreter_that_is_none_is_named(make: Make, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    text.chmod(0o755)
    with pytest.raises(ConfigError, match=r"models\.chat\.python: \S*/text cannot be run: Exec format error"):
        open_vllm(make("fine", python=str(text)), tmp_path, 1)


def test_what_is_not_there_is_named_before_vllm_starts(
    make: Make, record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    model = tmp_path / "model"
    nobody = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HF_ENDPOINT", nobody)
    whole = model / "model.safetensors"
    write_tensors(whole, {})
    whole.write_bytes(whole.read_bytes()[:-1])
    wanted = {
        r"models\.chat\.python: there is no interpreter": {"python": str(tmp_path / "nowhere")},
        r"models\.chat\.python: there is no interpreter \S*/model": {"python": str(model)},
        r"models\.chat\.weights\.path: there is no ": {"weights": {"path": str(tmp_path / "nowhere")}},
        r"models\.chat\.weights\.path: .*model\.safetensors is not whole": {},
        r"models\.chat\.weights\.repo: the hub 127\.0\.0\.1 cannot be reached for org/model": {
            "weights": {"repo": "org/model", "revision": "0" * 40}
        },
        r"models\.chat\.device is cuda, and this machine shows no NVIDIA GPU": {"device": "cuda"},
    }
    if any(Path("/dev").glob("nvidia[0-9]*")):
        del wanted[r"models\.chat\.device is cuda, and this machine shows no NVIDIA GPU"]
    for told, changes in wanted.items():
        with pytest.raises(ConfigError, match=told) as failed:
            open_vllm(make("fine", **changes), tmp_path / "home", 1)
        assert "\n" not in failed.value.message
    assert not record.exists()
