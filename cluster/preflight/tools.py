"""Programs that a platform engineer needs beside this one, and their versions."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cluster.preflight.findings import Finding, State

AREA = "tools"
TIMEOUT_S = 30.0
Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tool:
    """A program; `least` is the oldest version that does what docs/deploy.md asks of it."""

    name: str
    arguments: tuple[str, ...]
    least: Version
    needed_for: str
    is_needed: bool = True


TOOLS = (
    # 1.30: `kubectl apply --server-side` of custom kinds with field validation; the skew policy decides the rest.
    Tool("kubectl", ("version", "--client"), (1, 30), "looking into the cluster"),
    Tool("helm", ("version", "--short"), (3, 14), "installing operators"),
    # 2.15: `aws eks get-token`, by which kubeconfigs of EKS sign in.
    Tool("aws", ("--version",), (2, 15), "signing in to EKS"),
    Tool("terraform", ("version",), (1, 11), "making the account's side", is_needed=False),
    Tool("docker", ("--version",), (24, 0), "building images", is_needed=False),
)
_NUMBERS = re.compile(r"(\d+)\.(\d+)")


def run(command: Sequence[str]) -> str:
    """What a program prints.

    Raises:
        OSError, subprocess.SubprocessError: it does not run, fails, or hangs.
    """
    done = subprocess.run(  # noqa: S603 (programs of TOOLS, by their path)
        command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    return done.stdout + done.stderr


def check_tools(
    find: Callable[[str], str | None] = shutil.which, run: Callable[[Sequence[str]], str] = run
) -> Iterator[Finding]:
    """A finding for each of TOOLS. `find` and `run` stand for the PATH and for starting programs."""
    for tool in TOOLS:
        state, text = _state(tool, find(tool.name), run)
        yield Finding(AREA, tool.name, state, text)


def _state(tool: Tool, path: str | None, run: Callable[[Sequence[str]], str]) -> tuple[State, str]:
    without: State = "bad" if tool.is_needed else "warn"
    least = ".".join(map(str, tool.least))
    if path is None:
        return without, f"not on PATH; needed for {tool.needed_for}, {least} or later"
    try:
        said = run([path, *tool.arguments])
    except (OSError, subprocess.SubprocessError) as exc:
        return without, f"{path} does not run: {' '.join(str(exc).split())[:200]}"
    version = read_version(said)
    if version is None:
        return "warn", f"{path} does not say its version: {said.split(chr(10), 1)[0][:100]}"
    if version < tool.least:
        return without, f"{'.'.join(map(str, version))}; {tool.needed_for} wants {least} or later"
    return "ok", f"{'.'.join(map(str, version))}, {path}"


def read_version(text: str) -> Version | None:
    """The first major and minor version in a text; None: there is none."""
    found = _NUMBERS.search(text)
    return (int(found.group(1)), int(found.group(2))) if found else None
