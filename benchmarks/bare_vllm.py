"""Bare `vllm serve`: what answers and speed through Manta are compared with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from benchmarks.application import Started, path_beginning_with, served
from benchmarks.errors import BadTarget
from configs.ports import free_port

Device = Literal["cpu", "cuda"]

# Where `make vllm-cpu` puts them.
PYTHON = Path(".venv-vllm/bin/python")
TINY_MODEL = Path(".venv-vllm/tiny-qwen3")
# A start takes half a minute on an idle machine of two cores, and several where others work.
START_TIMEOUT_S = 1500.0


def environment(device: Device, num_threads: int, kv_cache_gib: int = 1) -> dict[str, str]:
    """Variables of vLLM's processes, as a model's deployment has them; the numbers are for the CPU."""
    variables = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if device == "cuda":
        return variables
    return variables | {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(num_threads),
    }


_LIST_VERSIONS = """
import importlib.metadata, json
names = {"vllm", "torch", "transformers", "ray"}
found = [(one.name.lower(), one.version) for one in importlib.metadata.distributions() if one.name]
print(json.dumps({name: version for name, version in found if name in names}))
"""


def versions(python: Path) -> dict[str, str]:
    """Of what an interpreter's environment has for vLLM, by name."""
    done = subprocess.run(  # noqa: S603 (the interpreter that runs vLLM)
        [str(python), "-c", _LIST_VERSIONS], capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def require_vllm(python: Path) -> None:
    """Raises BadTarget: the interpreter of vLLM's environment is not there."""
    if not python.exists():
        raise BadTarget(f"{python} is not there; `make vllm-cpu` makes vLLM's environment and a model")


@contextmanager
def bare_vllm(
    python: Path,
    folder: Path,
    name: str,
    words: Sequence[str],
    *,
    device: Device = "cpu",
    num_threads: int = 1,
    env: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Started]:
    """The server, ready on a port of loopback; stopped at the end.

    Args:
        python: interpreter of vLLM's environment.
        folder: the model's. Told by its whole path, as Manta does: vLLM's fingerprint of itself has it in.
        name: of the model, as requests have it.
        words: further arguments of `vllm serve`.
        device: that it computes on.
        num_threads: of the engine, on the CPU.
        env: variables instead of those that a model's deployment has.

    Raises:
        BadTarget: there is no vLLM.
        CannotStart: it does not start.
    """
    require_vllm(python)
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.guard"]
    command += [str(python), "-m", "vllm.entrypoints.cli.main", "serve", str(folder.absolute())]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", name, *words]
    url, variables = f"http://127.0.0.1:{port}", environment(device, num_threads)
    variables["PATH"] = path_beginning_with(python.absolute().parent)  # as the deployment has it
    with served(command, url, "/health", START_TIMEOUT_S, **{**variables, **env}) as fresh:
        yield fresh
