"""The highest and the lowest of what was wanted within a window of time, as values that never change.

Each is kept as the samples that can still matter (a monotone queue): at most one for each number of
replicas, however often it is asked.
"""

from __future__ import annotations

Samples = tuple[tuple[float, int], ...]  # (at_s, value), oldest first


def with_high(samples: Samples, at_s: float, value: int, window_s: float) -> Samples:
    """The samples with one more; the first of them is the highest of the last `window_s`.

    A value counts until `window_s` after it was last given.
    """
    kept = [sample for sample in samples if sample[1] > value]
    return _recent((*kept, (at_s, value)), at_s - window_s)


def with_low(samples: Samples, at_s: float, value: int, window_s: float) -> Samples:
    """The same for the lowest."""
    kept = [sample for sample in samples if sample[1] < value]
    return _recent((*kept, (at_s, value)), at_s - window_s)


def _recent(samples: Samples, since_s: float) -> Samples:
    """Those since then; the last one always, because it is now."""
    return tuple(sample for sample in samples[:-1] if sample[0] > since_s) + samples[-1:]
