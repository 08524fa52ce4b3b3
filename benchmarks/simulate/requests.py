"""The requests of a simulation, as plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# (index of a request that ended, when) -> (index of the request that follows from it, when it arrives)
Follow = Callable[[int, float], tuple[int, float] | None]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is asked, and when.

    Args:
        at_s: (n,) float64, seconds after the start; NaN for a request that follows from another's end.
        num_prompt_tokens, num_output_tokens: (n,) integers, at least 1.
        entry: (n,) integers, position in `labels`; None: all are of the first.
        labels: what records call the requests of each entry.
        duration_s: first turns arrive in [0, duration_s).
        give_up_s: (n,) float64, seconds after its arrival when the user leaves; inf: never. None: nobody.
        follow: what follows from a request's end, such as a session's next turn; None: nothing does.
    """

    at_s: npt.NDArray[np.float64]
    num_prompt_tokens: npt.NDArray[np.int64]
    num_output_tokens: npt.NDArray[np.int64]
    duration_s: float
    entry: npt.NDArray[np.int64] | None = None
    labels: tuple[str, ...] = ("chat",)
    give_up_s: npt.NDArray[np.float64] | None = None
    follow: Follow | None = None

    def __len__(self) -> int:
        return len(self.at_s)

    def label(self, index: int) -> str:
        """What the record of a request calls it."""
        return self.labels[0 if self.entry is None else int(self.entry[index])]
