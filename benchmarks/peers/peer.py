"""What the other projects' tools have in common: a command of their own environment that leaves files."""

from __future__ import annotations

import json
import shlex
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Load, Reported, ToolFailed
from benchmarks.peers.commands import run_bounded

_VERSION_TIMEOUT_S = 60.0


class Peer(ABC):
    """A tool that is called as a subprocess, as its authors recommend.

    Args:
        executable: the tool's command.
        home: a folder made by `make_home`.
        scratch: an empty folder, for what it writes while its version is asked.

    Raises:
        ToolFailed: it is not there.
    """

    name: str
    distribution: str

    def __init__(self, executable: Path, home: Path, scratch: Path) -> None:
        # Not resolved: an environment's interpreter knows itself by the path of its link.
        self._executable = executable.absolute()
        self._home = home
        if not self._executable.is_file():
            raise ToolFailed(f"there is no command {executable.name} where it was said to be")
        # Asked of its environment, because tools differ in how they tell it, if they do.
        python = str(self._executable.with_name("python"))
        asked = f"import importlib.metadata as m; print(m.version({self.distribution!r}))"
        self.version = run_bounded([python, "-c", asked], scratch, _VERSION_TIMEOUT_S).strip()

    def command(self, url: str, load: Load, folder: Path) -> list[str]:
        return self._with_environment(self.arguments(url, load, folder))

    def run(self, url: str, load: Load, folder: Path, timeout_s: float) -> Reported:
        run_bounded(self.command(url, load, folder), folder, timeout_s)
        try:
            return self.reported(folder)
        except (OSError, ValueError, KeyError, IndexError, TypeError) as exc:
            raise ToolFailed(f"its results cannot be read: {type(exc).__name__}: {exc}") from exc

    @abstractmethod
    def arguments(self, url: str, load: Load, folder: Path) -> list[str]:
        """What follows the command's name; files go to `folder`."""

    @abstractmethod
    def reported(self, folder: Path) -> Reported:
        """What the tool left in `folder`. May raise OSError, ValueError, KeyError, IndexError, TypeError."""

    def _with_environment(self, arguments: list[str]) -> list[str]:
        return ["env", "HF_HUB_OFFLINE=1", f"HF_HOME={self._home}", str(self._executable), *arguments]


def shown(command: list[str], folder: Path) -> str:
    """A command line as results keep it: without the machine's paths."""
    return shlex.join(_without_paths(word.replace(str(folder), "OUT")) for word in command)


def _without_paths(word: str) -> str:
    if word.startswith("HF_HOME="):
        return "HF_HOME=HOME"
    is_path = word.startswith("/") and Path(word).exists()
    return Path(word).name if is_path else word


def read_json(path: Path) -> dict[str, Any]:
    """Raises ValueError if it holds no JSON object. Takes Infinity and NaN, which tools write."""
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} holds no object")  # noqa: TRY004 (it is the file that is wrong)
    return document
