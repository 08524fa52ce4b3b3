"""The file of documents that failed: a line of JSON each, with the reason; what it names can be fed in again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from serve_app.errors import BadRequest


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A document that is not in the base as its source has it."""

    tenant: str
    source: str
    path: str
    location: str  # where the source has it
    reason: str
    at: str  # ISO 8601, UTC


class DeadLetterFile:
    """Writes letters as they come, so that a run that is killed leaves those that it had. No letter, no file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self.num_letters = 0

    def __enter__(self) -> DeadLetterFile:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, letters: Iterable[DeadLetter]) -> None:
        for letter in letters:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("w", encoding="utf-8")
            self._file.write(json.dumps(asdict(letter), ensure_ascii=False) + "\n")
            self.num_letters += 1
        if self._file is not None:
            self._file.flush()


def read(path: Path) -> Mapping[tuple[str, str], frozenset[str]]:
    """(tenant, source) -> paths to be tried again.

    Raises:
        BadRequest: the file cannot be read, or a line is no letter; it is named. A last line that was cut
            by a kill is left out.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadRequest(f"{path}: cannot be read: {exc}") from exc
    wanted: dict[tuple[str, str], set[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            letter = json.loads(line)
            wanted.setdefault((letter["tenant"], letter["source"]), set()).add(letter["path"])
        except (ValueError, KeyError, TypeError) as exc:
            if number == len(lines):
                break
            raise BadRequest(f"{path}:{number}: is no dead letter") from exc
    return {key: frozenset(paths) for key, paths in wanted.items()}
