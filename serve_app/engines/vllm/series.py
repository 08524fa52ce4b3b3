"""vLLM's metrics, out of the text that its server gives. Pure.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (2026-11), as far as Prometheus' own Python client
writes it: a sample a line, without timestamps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_SAMPLE = re.compile(r"^(vllm:[a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}

# What moves whenever the engine finishes a step for somebody.
_WORK = re.compile(
    r"^vllm:(?:generation_tokens_total|prompt_tokens_total|iteration_tokens_total_count"
    r"|request_success_total)(?:\{.*\})? (\S+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of one series."""

    name: str  # with vLLM's prefix, and _bucket, _sum, _count or _total at its end
    labels: Mapping[str, str]
    value: float


def samples(text: str) -> Iterator[Sample]:
    """vLLM's own; what the Python process says of itself is left out, and so is when a series was created."""
    for found in _SAMPLE.finditer(text):
        name, labels, value = found.groups()
        if not name.endswith("_created"):
            yield Sample(
                name, {key: _unescaped(one) for key, one in _LABEL.findall(labels or "")}, float(value)
            )


class News:
    """Which of vLLM's samples Ray has to be told: those that changed, and every now and then all of them.

    Ray's exporter forgets a gauge that was not set for two of its reports, 20 s in all. Without telling all of them
    again the series of an engine that is idle, or whose cache stays full, would end.

    Args:
        again_after_s: seconds between two times that all are told.
    """

    def __init__(self, again_after_s: float = 9.0) -> None:
        self._again_after_s = again_after_s
        self._all_at_s: float | None = None
        self._told: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}

    def of(self, read: Iterable[Sample], now_s: float) -> Iterator[Sample]:
        """What to tell, of what was read at `now_s` (monotonic seconds)."""
        tells_all = self._all_at_s is None or now_s - self._all_at_s >= self._again_after_s
        if tells_all:
            self._all_at_s = now_s
        for sample in read:
            key = sample.name, frozenset(sample.labels.items())
            if tells_all or self._told.get(key) != sample.value:
                self._told[key] = sample.value
                yield sample


def work_done(text: str) -> float:
    """A number that changes whenever the engine has done something, and is worth nothing else."""
    return sum(float(value) for value in _WORK.findall(text))


def _unescaped(value: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPED.get(found[0], found[0]), value)
