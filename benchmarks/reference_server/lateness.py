"""How late the server was itself: the time from when a token was due to when it was handed to the socket."""

from __future__ import annotations

BUCKET_NS = 10_000
_NUM_BUCKETS = 10_000  # to 100 ms
_COARSE_NS = 10_000_000
_NUM_COARSE = 10_000  # to 100 s, and whatever is above


class Lateness:
    """Counts of lateness: to 10 us below 100 ms, to 10 ms above, where only a stopped process is.

    `fine` is public because the sender of tokens counts in place: `fine[late_ns // BUCKET_NS] += 1`, and
    `add` on IndexError. It saves a call for every token.
    """

    def __init__(self) -> None:
        self.fine = [0] * _NUM_BUCKETS
        self._coarse = [0] * _NUM_COARSE

    def add(self, late_ns: int) -> None:
        """Count one."""
        if late_ns < BUCKET_NS * _NUM_BUCKETS:
            self.fine[late_ns // BUCKET_NS] += 1
        else:
            self._coarse[min(late_ns // _COARSE_NS, _NUM_COARSE - 1)] += 1

    def quantile_ms(self, quantile: float) -> float | None:
        """The upper edge of the bucket that holds this quantile; None when nothing was counted.

        Raises:
            ValueError: the quantile is not in (0, 1].
        """
        if not 0 < quantile <= 1:
            raise ValueError(f"{quantile} is not a quantile")
        num_left = quantile * (sum(self.fine) + sum(self._coarse))
        if not num_left:
            return None
        for counts, width_ns in ((self.fine, BUCKET_NS), (self._coarse, _COARSE_NS)):
            for index, count in enumerate(counts):
                num_left -= count
                if count and num_left <= 0:
                    return (index + 1) * width_ns / 1e6
        raise AssertionError("a quantile lies within what was counted")
