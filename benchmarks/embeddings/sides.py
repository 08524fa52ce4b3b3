"""What is compared: each side as a context that starts it and gives something to measure."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.application import served
from benchmarks.embeddings.cases import Case
from benchmarks.embeddings.http_side import HttpSide
from benchmarks.embeddings.texts import Kind, KindOfTexts
from benchmarks.embeddings.worker_side import WorkerSide, worker
from benchmarks.errors import BenchmarkError
from configs.ports import free_port

MODEL = "all-minilm-l6-v2"
OURS = ("manta-llamacpp", "manta-onnx", "manta-auto")
API = "manta-api"
LOCKED = "locked-api"


class Running(Protocol):
    """A side that runs."""

    facts: dict[str, Any]

    def take_texts(self, texts: Mapping[Kind, KindOfTexts]) -> None: ...

    def run(self, kind: Kind, case: Case, seconds: float) -> dict[str, Any]: ...

    def vectors(self, texts: Sequence[str]) -> list[list[float]]: ...


@dataclass(frozen=True, slots=True)
class Side:
    """One of them.

    Args:
        why_not: why it cannot run here; None: it can.
        cases: that make sense for it; None: all.
    """

    name: str
    what: str
    open: Callable[[], AbstractContextManager[Running]]
    why_not: str | None = None
    cases: frozenset[Case] | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What a user gives."""

    num_threads: int
    gguf: Path | None
    llama_server: Path | None
    llama_server_flags: Sequence[str]
    peer_python: Path | None
    sentence_transformers: str
    onnx_folder: Path | None
    api_url: str | None
    api_model: str


def all_sides(setup: Setup) -> list[Side]:
    """Every side, those too that cannot run here."""
    threads = ["--threads", str(setup.num_threads)]
    no_gguf = None if setup.gguf else "no --gguf, and none in the home folder: manta models pull " + MODEL
    plain = _command(sys.executable, "llama_cpp_plain", "--model", str(setup.gguf), *threads)
    torch = _command(
        str(setup.peer_python),
        "sentence_transformers_plain",
        "--model",
        setup.sentence_transformers,
        *threads,
    )
    onnx = _command(sys.executable, "onnx_plain", "--model", str(setup.onnx_folder), *threads)
    one_by_one = frozenset({Case(1, 1), Case(32, 1)})
    sides = [_ours(name, name.removeprefix("manta-"), threads) for name in OURS]
    return [
        *sides,
        Side(
            "llama-cpp-python one",
            "create_embedding of one text at a time, behind a lock",
            lambda: worker("llama-cpp-python one", plain),
            no_gguf,
            one_by_one,
        ),
        Side(
            "llama-cpp-python list",
            "create_embedding of a list of 64",
            lambda: worker("llama-cpp-python list", plain),
            no_gguf,
            frozenset({Case(1, 64), Case(32, 64)}),
        ),
        Side(
            "sentence-transformers",
            "encode, on torch, in F32",
            lambda: worker("sentence-transformers", torch),
            None if setup.peer_python else "no --peer-python",
        ),
        Side(
            "onnxruntime",
            "an exported encoder, padded batches of like lengths, in F32",
            lambda: worker("onnxruntime", onnx),
            None if setup.onnx_folder else "no --onnx-model",
        ),
        Side(
            "llama-server",
            "llama.cpp's own server, over HTTP",
            lambda: _llama_server(setup),
            no_gguf or (None if setup.llama_server else "no --llama-server"),
        ),
        Side(
            LOCKED,
            "FastAPI, one Llama, a lock: one text at a time",
            lambda: _locked_server(setup),
            no_gguf,
            one_by_one,
        ),
        Side(
            API,
            "Manta's API, over HTTP",
            lambda: _running_api(setup),
            None if setup.api_url else "no --url",
        ),
    ]


@contextmanager
def counting(setup: Setup) -> Iterator[WorkerSide]:
    """A worker that counts tokens."""
    with _ours("counting", "llamacpp", ["--threads", str(setup.num_threads)]).open() as running:
        assert isinstance(running, WorkerSide)
        yield running


def _ours(name: str, engine: str, threads: Sequence[str]) -> Side:
    config = {"name": MODEL, "engine": engine, "weights": {"catalogue": MODEL}}
    command = _command(sys.executable, "manta_engine", json.dumps(config), *threads)
    return Side(name, f"Manta's embedder in process, engine {engine}", lambda: worker(name, command))


def _command(python: str, module: str, *words: str) -> list[str]:
    return [python, "-m", f"benchmarks.embeddings.workers.{module}", *words]


@contextmanager
def _llama_server(setup: Setup) -> Iterator[Running]:
    port = free_port()
    threads = str(setup.num_threads)
    command = [str(setup.llama_server), "--embedding", "--pooling", "mean", "--model", str(setup.gguf)]
    command += ["--threads", threads, "--threads-batch", threads, "--host", "127.0.0.1", "--port", str(port)]
    command += setup.llama_server_flags
    with served(command, f"http://127.0.0.1:{port}", "/health") as fresh:
        yield HttpSide(fresh.url, MODEL, {"flags": " ".join(setup.llama_server_flags)})


@contextmanager
def _locked_server(setup: Setup) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.embeddings.locked_server", "--port", str(port)]
    command += ["--model", str(setup.gguf), "--threads", str(setup.num_threads)]
    with served(command, f"http://127.0.0.1:{port}") as fresh:
        yield HttpSide(fresh.url, MODEL)


@contextmanager
def _running_api(setup: Setup) -> Iterator[Running]:
    if setup.api_url is None:
        raise BenchmarkError("no --url")
    yield HttpSide(setup.api_url.rstrip("/"), setup.api_model, {"url": "of an application that ran"})
