"""Numbers that change now and then, summed over time: replicas, nodes."""

from __future__ import annotations


class Meter:
    """A count over time, from 0 on.

    `sum_s` is the count times the seconds it stood, until the last change or `read`.
    """

    def __init__(self) -> None:
        self.value = 0
        self.low: int | None = None
        self.high: int | None = None
        self.sum_s = 0.0
        self._since_s = 0.0

    def set(self, at_s: float, value: int) -> None:
        """The count from now on."""
        self.read(at_s)
        self.value = value
        self.low = value if self.low is None else min(self.low, value)
        self.high = value if self.high is None else max(self.high, value)

    def read(self, at_s: float) -> float:
        """`sum_s` until now."""
        self.sum_s += self.value * (at_s - self._since_s)
        self._since_s = at_s
        return self.sum_s
