"""A worker process, as something that can be measured: see `workers.lines` for what is said."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from benchmarks.embeddings.cases import Case
from benchmarks.embeddings.texts import Kind, KindOfTexts
from benchmarks.errors import BenchmarkError

_ROOT = Path(__file__).resolve().parents[2]
_STOP_TIMEOUT_S = 20.0


class WorkerSide:
    """A started worker; one command at a time."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self._name = name
        self._process = process
        self._log = log
        self.facts: dict[str, Any] = self._answer()["ready"]

    def take_texts(self, texts: Mapping[Kind, KindOfTexts]) -> None:
        self._ask("texts", {kind: given.as_json() for kind, given in texts.items()})

    def run(self, kind: Kind, case: Case, seconds: float) -> dict[str, Any]:
        """Texts, tokens and seconds of one run; raises BenchmarkError when the worker fails."""
        return self._ask(
            "run",
            {
                "kind": kind,
                "num_callers": case.num_callers,
                "list_size": case.list_size,
                "seconds": seconds,
            },
        )

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        found: list[list[float]] = self._ask("vectors", list(texts))["vectors"]
        return found

    def count(self, texts: Sequence[str]) -> list[int]:
        found: list[int] = self._ask("count", list(texts))["num_tokens"]
        return found

    def _ask(self, name: str, value: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({name: value}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise BenchmarkError(f"{self._name} ended: {_last_line(self._log)}") from exc
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # What a library prints while it loads is no answer.
        line = next((line for line in self._process.stdout if line.startswith("{")), None)
        if line is None:
            raise BenchmarkError(f"{self._name} ended: {_last_line(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{self._name}: {answer['error']}")
        return answer


@contextmanager
def worker(name: str, command: Sequence[str]) -> Iterator[WorkerSide]:
    """Start a worker, wait until it is ready, and stop it at the end.

    Raises:
        BenchmarkError: it does not start; the message is its own last words.
    """
    with tempfile.TemporaryDirectory(prefix="manta-bench-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 (our own command)
                command,
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            yield WorkerSide(name, process, log)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        _close(pipe)  # at the end of its input a worker ends
    try:
        process.wait(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close(pipe: IO[str] | None) -> None:
    assert pipe is not None
    try:
        pipe.close()
    except BrokenPipeError:
        return  # it ended before it read all


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
