"""Where a worker's lines go: appended to a file about once a second, so that a killed worker loses little."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import msgspec


class Journal:
    """Appends encoded structs, a line each. Lines that cannot be written now are kept and tried again."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._encoder = msgspec.json.Encoder()
        self._pending = bytearray()
        self.fault: OSError | None = None  # why the last write failed, if it did

    def add(self, line: msgspec.Struct) -> None:
        self._encoder.encode_into(line, self._pending, -1)
        self._pending += b"\n"

    def flush(self) -> None:
        """Write what is pending; a failure is kept in `fault`."""
        try:
            while self._pending:
                written = os.write(self._fd, self._pending)
                del self._pending[:written]
        except OSError as exc:
            self.fault = exc
        else:
            self.fault = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        os.close(self._fd)
