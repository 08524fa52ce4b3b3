"""The servers that are compared: how each is started, with the same threads and context for each sequence.

All speak OpenAI's /v1/completions on loopback, and none outlives the benchmark.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.application import Started, served, started, write_profile
from benchmarks.errors import BadTarget
from benchmarks.llamacpp_chat.cases import Case
from benchmarks.llamacpp_chat.settings import (
    MODEL,
    SAMPLING,
    Settings,
    engine_config,
    platform,
    write_engine_config,
)
from configs.ports import free_port

Name = Literal["manta", "engine", "llama-server", "llama-server-same-step", "llama_cpp.server", "locked"]

WHAT: Mapping[Name, str] = {
    "manta": "`manta up`: the application, with this model and nothing else to do",
    "engine": "Manta's engine in one process behind FastAPI, without Ray",
    "llama-server": "llama.cpp's own server, -np as callers, flash attention, its default batches",
    "llama-server-same-step": "the same with -b and -ub as a step of Manta's engine",
    "llama_cpp.server": "`python -m llama_cpp.server`, one text at a time",
    "locked": "`llama_cpp.Llama` under a lock behind FastAPI, one text at a time",
}
DEFAULT: tuple[Name, ...] = ("manta", "engine", "llama-server", "llama_cpp.server", "locked")
OURS: tuple[Name, ...] = ("manta", "engine")
_DEFAULT_STEP_TOKENS = 512  # LlamaCppModel.max_step_tokens


@dataclass(frozen=True, slots=True)
class Tools:
    """What is not part of the installation.

    Args:
        llama_server: llama.cpp's server (`make llama-server`).
        server_extras: folder with what `llama_cpp.server` needs besides (`make llama-cpp-server`).
    """

    llama_server: Path = field(default=Path(sys.prefix) / "llama-server" / "bin" / "llama-server")
    server_extras: Path = field(default=Path(sys.prefix) / "llama-cpp-server")

    def missing(self, name: Name) -> str | None:
        """What has to be installed before this subject can run, and how; None: nothing."""
        if name.startswith("llama-server") and not self.llama_server.is_file():
            return f"{self.llama_server} is not there; `make llama-server` builds it, --llama-server names it"
        if name == "llama_cpp.server" and not self.server_extras.is_dir():
            return (
                f"{self.server_extras} is not there; `make llama-cpp-server` installs it, "
                "--server-extras names it"
            )
        return None


def sampling_of(name: Name) -> dict[str, object]:
    """What a request asks for. llama-cpp-python's server has a penalty for repetition unless it is told otherwise."""
    return SAMPLING | ({"repeat_penalty": 1.0} if name == "llama_cpp.server" else {})


@contextmanager
def running(name: Name, settings: Settings, case: Case, tools: Tools) -> Iterator[Started]:
    """The server, ready for the case; stopped at the end.

    Raises:
        BadTarget: something is not installed.
        CannotStart: it does not start.
    """
    if (missing := tools.missing(name)) is not None:
        raise BadTarget(f"{name}: {missing}")
    with tempfile.TemporaryDirectory(prefix="llamacpp-chat-") as folder:
        if name == "manta":
            profile = write_profile(Path(folder) / "profile.yaml", platform(settings, case))
            with started(profile) as fresh:
                yield fresh
            return
        port = free_port()
        command, ready_path, environment = _command(name, settings, case, tools, port, Path(folder))
        with served(command, f"http://127.0.0.1:{port}", ready_path, **environment) as fresh:
            yield fresh


def _command(
    name: Name, settings: Settings, case: Case, tools: Tools, port: int, folder: Path
) -> tuple[list[str], str, dict[str, str]]:
    """(command line, where it says that it is ready, variables of its environment)."""
    if name == "engine":
        config = write_engine_config(folder, settings, case)
        return [*_python("benchmarks.llamacpp_chat.engine_server"), str(config), str(port)], "/readyz", {}
    if name == "locked":
        return locked_command(settings, case, port), "/readyz", {}
    if name == "llama_cpp.server":
        environment = {"PYTHONPATH": str(tools.server_extras)}
        return _guarded(llama_cpp_server_command(settings, case, port)), "/v1/models", environment
    has_same_step = name == "llama-server-same-step"
    command = llama_server_command(tools.llama_server, settings, case, port, has_same_step=has_same_step)
    return _guarded(command), "/health", {}


def llama_server_command(
    binary: Path, settings: Settings, case: Case, port: int, *, has_same_step: bool = False
) -> list[str]:
    """llama.cpp's own server: a slot for each caller, each with the case's context.

    Its prompt cache is on where prompts have something in common, and else off: what it would copy to and fro for
    prompts that nobody asks again would only slow it down.
    """
    command = [
        *(str(binary), "--model", str(settings.gguf), "--alias", MODEL),
        *("--host", "127.0.0.1", "--port", str(port), "--no-webui", "--offline"),
        *("--parallel", str(case.num_callers)),
        *("--ctx-size", str(case.num_callers * case.context_tokens)),
        *("--threads", str(settings.num_threads), "--threads-batch", str(settings.num_threads)),
        *("--flash-attn", "on"),
    ]
    if has_same_step:
        step = str(settings.step_tokens or _DEFAULT_STEP_TOKENS)
        command += ["--batch-size", step, "--ubatch-size", step]
    return command + (["--cache-prompt"] if case.shared_tokens else ["--no-cache-prompt", "--cache-ram", "0"])


def llama_cpp_server_command(settings: Settings, case: Case, port: int) -> list[str]:
    """llama-cpp-python's server. Without `interrupt_requests false` a new request ends the stream before it."""
    threads = str(settings.num_threads)
    return [
        *_python("llama_cpp.server"),
        *("--model", str(settings.gguf), "--model_alias", MODEL),
        *("--host", "127.0.0.1", "--port", str(port), "--interrupt_requests", "false"),
        *("--n_ctx", str(case.context_tokens), "--n_threads", threads, "--n_threads_batch", threads),
        *("--flash_attn", "true", "--logits_all", "false", "--verbose", "false"),
    ]


def locked_command(settings: Settings, case: Case, port: int) -> list[str]:
    """`Llama` under a lock."""
    return [
        *_python("benchmarks.llamacpp_chat.locked_server"),
        *(str(settings.gguf), str(port)),
        *("--context-tokens", str(case.context_tokens), "--threads", str(settings.num_threads)),
    ]


def describe(name: Name, settings: Settings, case: Case, tools: Tools) -> list[str] | dict[str, object]:
    """How it is started, for the results: a command line, or a model's configuration."""
    if name in OURS:
        return engine_config(settings, case)
    if name == "locked":
        return locked_command(settings, case, 0)
    if name == "llama_cpp.server":
        return llama_cpp_server_command(settings, case, 0)
    same_step = name == "llama-server-same-step"
    return llama_server_command(tools.llama_server, settings, case, 0, has_same_step=same_step)


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _guarded(command: list[str]) -> list[str]:
    """A server that does not look whether its parent still lives."""
    return [*_python("benchmarks.guard"), *command]
