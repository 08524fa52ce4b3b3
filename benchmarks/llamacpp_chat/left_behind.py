"""What requests left behind in an engine, and whether its memory grows: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.statistics.trend import mann_kendall_z, theil_sen_slope

# As in benchmarks/soak/growth.py: a rise that chance makes once in two hundred runs, and that anybody would notice.
_WARM_UP_SHARE = 0.2
_TREND_Z = 2.58
_MIN_ROUNDS = 8
_TOLERANCE_MIB = 2.0


@dataclass(frozen=True, slots=True)
class Round:
    """What is there after a number of requests, when nobody asks anything.

    Args:
        outcomes: how requests ended -> how many.
        held: what the engine holds of requests, by name.
        num_tasks: of the event loop, this one without the others' is 1.
        rss_mib: of the process.
    """

    outcomes: dict[str, int]
    held: Mapping[str, int]
    num_tasks: int
    rss_mib: float

    @property
    def faults(self) -> list[str]:
        """What is left behind; empty if nothing is."""
        found = [f"{name} {value}" for name, value in self.held.items() if value]
        return found + ([f"num_tasks {self.num_tasks}"] if self.num_tasks != 1 else [])


@dataclass(frozen=True, slots=True)
class Growth:
    """Of memory, after the first fifth of the rounds; None: too few rounds to tell."""

    growth_mib: float
    z: float
    is_flat: bool


def growth_of(rss_mib: Sequence[float]) -> Growth | None:
    """Whether memory grows from round to round, by Mann and Kendall's test and Theil and Sen's slope."""
    rest = list(rss_mib)[round(len(rss_mib) * _WARM_UP_SHARE) :]
    if len(rest) < _MIN_ROUNDS:
        return None
    growth_mib = theil_sen_slope(rest) * (len(rest) - 1)
    z = mann_kendall_z(rest)
    return Growth(round(growth_mib, 2), round(z, 2), not (z > _TREND_Z and growth_mib > _TOLERANCE_MIB))
