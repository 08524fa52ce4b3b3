"""How a member has been doing. Knows nothing of requests; `now_s` is any clock that never goes back."""

from __future__ import annotations

import math

from configs.schema import MemberConfig
from serve_app.routing.base import Member

# Time in which an old latency is forgotten (to 1/e).
_MEMORY_S = 10.0


class Condition:
    """One member, as one replica of the ingress sees it."""

    __slots__ = (
        "_config",
        "_cooldown_s",
        "_cools_until_s",
        "_latencies",
        "_max_failures",
        "_streak",
        "num_running",
    )

    def __init__(self, config: MemberConfig, max_failures: int, cooldown_s: float) -> None:
        self.num_running = 0
        self._config = config
        self._max_failures = max_failures
        self._cooldown_s = cooldown_s
        self._streak = 0  # failures in a row
        self._cools_until_s = -math.inf
        self._latencies: dict[bool, tuple[float, float]] = {}  # is_stream -> (seconds, when that was so)

    def member(self, now_s: float, *, is_stream: bool) -> Member:
        """As a choice wants it. First bytes of streams and of documents are not compared with each other."""
        latency = self._latencies.get(is_stream)
        latency_s = None if latency is None else latency[0] * math.exp((latency[1] - now_s) / _MEMORY_S)
        config, is_cooling = self._config, now_s < self._cools_until_s
        return Member(config.model, config.weight, config.canary, self.num_running, latency_s, is_cooling)

    def begin(self, now_s: float) -> None:
        self.num_running += 1
        if self._streak >= self._max_failures:
            # Its time is over and this request tries it; the others keep away until that has succeeded.
            self._cools_until_s = now_s + self._cooldown_s

    def end(self) -> None:
        self.num_running -= 1

    def answered(self, now_s: float, latency_s: float, *, is_stream: bool) -> None:
        """Its first byte came after `latency_s`. A slow one counts at once, a fast one bit by bit."""
        self._streak = 0
        self._cools_until_s = -math.inf
        if (old := self._latencies.get(is_stream)) is not None:
            keeps = math.exp((old[1] - now_s) / _MEMORY_S)
            latency_s = max(latency_s, old[0] * keeps + latency_s * (1.0 - keeps))
        self._latencies[is_stream] = (latency_s, now_s)

    def failed(self, now_s: float) -> None:
        self._streak += 1
        if self._streak >= self._max_failures:
            self._cools_until_s = now_s + self._cooldown_s
