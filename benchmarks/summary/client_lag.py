"""How late the client's event loops may have been, by worker and second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.records import ClientSample
from benchmarks.statistics.trend import Floats

Ints = npt.NDArray[np.int64]


class ClientLag:
    """Looks lags up in the samples of all workers."""

    def __init__(self, samples: Sequence[ClientSample]) -> None:
        ordered = sorted(samples, key=lambda sample: (sample.worker, sample.at_s))
        self._workers = np.array([sample.worker for sample in ordered], dtype=np.int64)
        self._at_s = np.array([sample.at_s for sample in ordered], dtype=np.float64)
        self._max_ms = np.array([sample.lag_max_ms for sample in ordered], dtype=np.float64)
        # percentile -> lag of each sample
        self._levels_ms = {
            50: np.array([sample.lag_p50_ms for sample in ordered], dtype=np.float64),
            95: np.array([_p95(sample) for sample in ordered], dtype=np.float64),
            99: np.array([sample.lag_p99_ms for sample in ordered], dtype=np.float64),
        }

    def rows(self, workers: Ints, at_s: Floats) -> Ints:
        """The sample of each worker's second that a moment falls into, (n,); -1 where the worker has none."""
        rows = np.full(len(at_s), -1, dtype=np.int64)
        for worker in np.unique(self._workers):
            own = np.flatnonzero(self._workers == worker)
            asked = np.flatnonzero(workers == worker)
            # A sample tells of the second that ends at its time; moments after the last one are in none.
            found = np.searchsorted(self._at_s[own], at_s[asked], side="left")
            rows[asked] = own[np.minimum(found, len(own) - 1)]
        return rows

    def late_ms(self, rows: Ints, percentile: int) -> Floats:
        """What `percentile` % of the moments of these seconds were late by at most; 0 where there is none.

        The worst lag where it covers more of the second than the percentile leaves out: the probe counts a long
        stop as one late tick, however many requests it held up.
        """
        if not len(self._at_s):
            return np.zeros(len(rows))
        is_stop = self._max_ms / 1000 > 1 - percentile / 100
        levels = np.where(is_stop, self._max_ms, self._levels_ms[percentile])
        return np.where(rows >= 0, levels[rows], 0.0)


def _p95(sample: ClientSample) -> float:
    return sample.lag_p99_ms if sample.lag_p95_ms is None else sample.lag_p95_ms
