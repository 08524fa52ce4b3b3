"""A run's folder: what was run, on what, its raw records and its summary, all readable by a program."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LIBRARIES = ("ray", "lancedb", "llama-cpp-python", "numpy")


def write(
    parent: Path,
    name: str,
    settings: Mapping[str, Any],
    summary: Mapping[str, Any],
    records: Iterable[Mapping[str, Any]],
) -> Path:
    """Write a new folder `parent/DATE-name` with run.json, summary.json and records.jsonl; returns it."""
    today = datetime.datetime.now(datetime.UTC)
    folder = parent / f"{today:%Y-%m-%d}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    fill(folder, settings, summary, records)
    return folder


def fill(
    folder: Path,
    settings: Mapping[str, Any],
    summary: Mapping[str, Any],
    records: Iterable[Mapping[str, Any]],
) -> None:
    """Write the three files into a folder that is there, such as one of `new_folder`."""
    now = datetime.datetime.now(datetime.UTC)
    run = {"time_utc": now.isoformat(timespec="seconds"), "settings": settings, "machine": machine()}
    write_json(folder / "run.json", run)
    write_json(folder / "summary.json", summary)
    with (folder / "records.jsonl").open("w", encoding="utf-8") as lines:
        for record in records:
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder `parent/DATE-name`, with a number at its end where that is there already; returns it."""
    today = datetime.datetime.now(datetime.UTC)
    first = parent / f"{today:%Y-%m-%d}-{name}"
    for number in itertools.count(1):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("the numbers do not end")


def machine() -> dict[str, Any]:
    """What a reader needs to judge the figures, and nothing that names the host."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": _commit(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document for people and programs to read."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str | None:
    """The commit that was measured, with `+` when files differed from it; None outside a checkout."""
    root = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],  # noqa: S607
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
