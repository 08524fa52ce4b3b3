"""One writer of a cached file at a time, across the processes of a machine, and the disk-full rule.

The lock is the kernel's (flock): a process that dies lets go of it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve_app.errors import ConfigError, StorageFull

logger = logging.getLogger("manta.model_cache")


@contextmanager
def writer_of(path: Path) -> Iterator[None]:
    """Hold the right to write `path`; waits for whoever holds it. Makes the folder."""
    lock = path.with_name(f".{path.name}.lock")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("w")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process is fetching %s; waiting for it", path.name)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about writing `path` into errors of our tree.

    Raises:
        StorageFull: no space or no quota left.
        ConfigError: the folder cannot be written.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"no space left in {path.parent} for {path.name}") from exc
        raise ConfigError(f"{path}: cannot be written: {exc.strerror or exc}") from exc


def publish(part: Path, path: Path) -> None:
    """Give a finished file its name: whoever sees the name sees all of the content."""
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(path)
