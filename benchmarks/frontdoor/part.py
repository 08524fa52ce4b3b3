"""What one part of the benchmark has measured so far, and its folder: complete whenever it is saved."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import results_folder
from benchmarks.errors import BenchmarkError
from benchmarks.frontdoor import addition, bars, gateway, hits

ORDER = ("addition", "hits", "gateway", "limits", "shares")
Record = dict[str, Any]


class Part:
    """One of `ORDER`.

    Args:
        settings: of the whole command.
        out: for the part's own folder; None: nothing is written.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], out: Path | None) -> None:
        self.name = name
        self.records: list[Record] = []
        self.rows: list[Record] = []  # of limits and shares, which are summarised as they are made
        self.replicas: dict[str, Any] | None = None
        self.absent: list[str] = []
        self.folder: Path | None = None
        self._settings = settings
        self._out = out

    def add(self, record: Record) -> None:
        self.records.append({"part": self.name} | record)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Save at the end, however it comes. A part that fails is told of, and the next one has its turn."""
        try:
            yield
        except BenchmarkError as exc:
            self.absent.append(f"{self.name} ended early: {exc}")
            print(f"benchmarks: {self.absent[-1]}", file=sys.stderr)
        finally:
            self.save()

    def save(self) -> None:
        """Write the folder, or write it again; nothing where nothing was measured."""
        if self._out is None or not self.records:
            return
        if self.folder is None:
            self.folder = results_folder.new_folder(self._out, f"frontdoor-{self.name}")
            print(f"raw records of {self.name}: {self.folder}", flush=True)
        results_folder.fill(self.folder, self._settings, summary([self]), self.records)

    def found(self) -> tuple[list[Record], list[bars.Verdict]]:
        """Rows of the part's table, and what they say of its bars."""
        match self.name:
            case "addition":
                rows = addition.summarise(self.records)
                return rows, bars.added(rows)
            case "hits":
                return hits.summarise(self.records), []
            case "gateway":
                return gateway.summarise(self.records), []
            case "limits":
                return self.rows, bars.admitted(self.rows)
            case _:
                return self.rows, bars.shares(self.rows)


def summary(parts: Sequence[Part]) -> dict[str, Any]:
    """Of these parts, as the tables want it."""
    found = {part.name: part.found() for part in parts}
    told: dict[str, Any] = {name: rows for name, (rows, _) in found.items()}
    told["replicas"] = next((part.replicas for part in parts if part.replicas is not None), None)
    told["verdicts"] = [verdict for _, verdicts in found.values() for verdict in verdicts]
    told["did_not_start"] = list(dict.fromkeys(line for part in parts for line in part.absent))
    return told
