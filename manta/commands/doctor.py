"""`manta doctor`: what this machine has and lacks, one line each, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import click
import httpx
import psutil
from rich.table import Table

from configs.load import default_home, hub
from manta.console import out
from serve_app.model_cache.catalogue import CATALOGUE
from serve_app.model_cache.choice import read_choices
from serve_app.model_cache.weight_type import choose_weight_type

State = Literal["ok", "warn", "bad"]
_STYLES: dict[State, str] = {"ok": "green", "warn": "yellow", "bad": "red"}
MIN_MEMORY_BYTES = 4 * 2**30  # the local profile with a 1.5 B parameter model and its context
MIN_DISK_BYTES = 3 * 2**30  # the default models and room for a knowledge base


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    state: State
    text: str


@click.command("doctor")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8000,
    show_default=True,
    help="Port that the application would use.",
)
def command(port: int) -> int:
    """Look at this machine; exit code 1 when something that Manta needs is missing."""
    checks: list[Callable[[], Finding]] = [
        _python,
        _compiler,
        _llama_cpp,
        _cpu,
        _onnxruntime,
        *(partial(_embedder, name) for name in _embedding_models()),
        _memory,
        _disk,
        _gpu,
        _hub,
        lambda: _port(port),
    ]
    findings = [check() for check in checks]
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        style = _STYLES[finding.state]
        table.add_row(f"[{style}]{finding.state}[/{style}]", finding.name, finding.text)
    out.print(table)
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def _python() -> Finding:
    version = platform.python_version()
    is_right = sys.version_info[:2] == (3, 11)
    return Finding(
        "python", "ok" if is_right else "bad", f"{version}" + ("" if is_right else "; Manta needs 3.11")
    )


def _compiler() -> Finding:
    found = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if found:
        return Finding("compiler", "ok", found)
    return Finding(
        "compiler", "warn", "no C++ compiler on PATH; needed once, to build llama.cpp for this CPU"
    )


def _llama_cpp() -> Finding:
    if importlib.util.find_spec("llama_cpp"):
        return Finding("llama.cpp", "ok", "installed")
    return Finding(
        "llama.cpp", "bad", "not installed; run: make run, or pip install llama-cpp-python==0.3.36"
    )


def _onnxruntime() -> Finding:
    if importlib.util.find_spec("onnxruntime"):
        return Finding("ONNX Runtime", "ok", "installed")
    return Finding("ONNX Runtime", "bad", "not installed; run: make run, or pip install onnxruntime")


def _embedding_models() -> list[str]:
    return [entry.name for entry in CATALOGUE.values() if entry.kind == "embedding"]


def _embedder(name: str) -> Finding:
    """What `engine: auto` means here, and why."""
    chosen = choose_weight_type()
    weight_type = f"GGUF weights in {chosen.weight_type.upper()}: {chosen.reason}"
    choices = read_choices(default_home(), name)
    if not choices:
        return Finding(
            "embedder", "ok", f"{name}: no engine chosen yet, measured at the first start; {weight_type}"
        )
    words = []
    for choice in choices:
        age = "" if choice.is_current else ", out of date: CPU or libraries changed"
        words.append(f"{choice.best.engine} {choice.best.weight_type} ({choice.reason()}{age})")
    return Finding("embedder", "ok", f"{name}: {'; '.join(words)}; {weight_type}")


def _cpu() -> Finding:
    flags = _cpu_flags()
    fast = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "bf16", "asimd") if flag in flags]
    return Finding(
        "cpu",
        "ok",
        f"{os.cpu_count()} cores, {platform.machine()}, {', '.join(fast) or 'no vector flags read'}",
    )


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    text = f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"
    if memory.available < MIN_MEMORY_BYTES:
        return Finding("memory", "warn", f"{text}; the local profile with a chat model wants 4 GiB")
    return Finding("memory", "ok", text)


def _disk() -> Finding:
    folder = default_home()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / 2**30:.1f} GiB free for {folder}"
    if not os.access(existing, os.W_OK):
        return Finding("disk", "bad", f"{existing} cannot be written; set MANTA_HOME to a folder that can")
    if free < MIN_DISK_BYTES:
        return Finding("disk", "warn", f"{text}; models and knowledge base want 3 GiB")
    return Finding("disk", "ok", text)


def _gpu() -> Finding:
    driver = Path("/proc/driver/nvidia/version")
    if driver.exists():
        return Finding("gpu", "ok", driver.read_text(encoding="utf-8").splitlines()[0])
    return Finding("gpu", "ok", "none; the local profile needs none")


def _hub() -> Finding:
    url = hub().endpoint
    try:
        httpx.head(url, timeout=5.0, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        text = f"{url} cannot be reached ({exc.__class__.__name__}); without it answers quote the passages"
        return Finding("model hub", "warn", text)
    return Finding("model hub", "ok", url)


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            return Finding("port", "bad", f"127.0.0.1:{port}: {exc.strerror}; use manta up --port N")
    return Finding("port", "ok", f"127.0.0.1:{port} is free")


def _cpu_flags() -> set[str]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return set()
    for line in info.read_text(encoding="utf-8").splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()
