"""Files of lines, begun anew at a size; the oldest go. One process writes to one name. Blocks."""

from __future__ import annotations

import os
from pathlib import Path


class RotatingFile:
    """`NAME.jsonl` is written to; `NAME.1.jsonl` is the one before, and so on.

    Each write is one system call on a file opened for appending, so that a crash leaves whole lines but for the last.
    """

    def __init__(self, folder: Path, name: str, max_bytes: int, num_files: int) -> None:
        self._folder = folder
        self._name = name
        self._max_bytes = max_bytes
        self._num_files = num_files

    def write(self, lines: bytes) -> None:
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(0)
        if path.exists() and path.stat().st_size + len(lines) > self._max_bytes:
            self._rotate()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, lines)
        finally:
            os.close(descriptor)

    def _rotate(self) -> None:
        self._path(self._num_files - 1).unlink(missing_ok=True)
        for number in range(self._num_files - 2, -1, -1):
            if self._path(number).exists():
                self._path(number).rename(self._path(number + 1))

    def _path(self, number: int) -> Path:
        return self._folder / (f"{self._name}.{number}.jsonl" if number else f"{self._name}.jsonl")
