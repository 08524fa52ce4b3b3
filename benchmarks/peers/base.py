"""What a load tester is to an experiment: something that sends a load and says what it measured.

Knows nothing of the server's truth; `truth` makes that from the server's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.errors import BenchmarkError


class ToolFailed(BenchmarkError):
    """A load tester that did not run, did not end in time, or said nothing that can be read."""


@dataclass(frozen=True, slots=True)
class Load:
    """Streaming chat requests, due at a constant rate whatever becomes of those before.

    Args:
        num_prompt_tokens: about; each tool counts with a tokenizer of its own.
        num_output_tokens: exactly, held by the server.
    """

    rate_rps: float
    num_requests: int
    num_prompt_tokens: int = 64
    num_output_tokens: int = 32

    @property
    def duration_s(self) -> float:
        """Requests are due in [0, duration_s)."""
        return self.num_requests / self.rate_rps


@dataclass(frozen=True, slots=True)
class Reported:
    """What a tool says of its own run; None: it does not say.

    Args:
        ttft_p50_ms: of the figure that it calls time to first token; likewise p95 and p99.
        ttft_ms: of each request, in the order of the tool's output.
        further: other figures of the tool that bear on the question, named as the tool names them.
    """

    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    ttft_p99_ms: float | None
    num_completed: int | None
    num_failed: int | None
    ttft_ms: tuple[float, ...] = ()
    further: Mapping[str, Any] = field(default_factory=dict)


class LoadTester(Protocol):
    """One tool in one way of using it. `name` is what tables call it."""

    name: str
    version: str

    def command(self, url: str, load: Load, folder: Path) -> list[str]:
        """What is run: an argument vector, or what stands for it."""
        ...

    def run(self, url: str, load: Load, folder: Path, timeout_s: float) -> Reported:
        """Load the server, with the tool's own output in `folder`; returns when the tool has ended.

        Raises:
            ToolFailed: it did not end within `timeout_s` (then it was stopped), or failed.
        """
        ...
