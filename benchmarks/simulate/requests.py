"""A simulated request, and the requests of a simulation as plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.records import Outcome

if TYPE_CHECKING:
    from benchmarks.simulate.replica import Replica

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


class Request:
    """One request on its way. Times are seconds of the simulation; None until they happened."""

    __slots__ = (
        "accepted_s",
        "arrived_s",
        "end_step",
        "ended_s",
        "first_s",
        "first_step",
        "index",
        "is_queued",
        "last_s",
        "num_made",
        "num_output",
        "num_prompt",
        "num_unread",
        "on_end",
        "outcome",
        "replica",
        "token_times_s",
    )

    def __init__(self, index: int, arrived_s: float, num_prompt: int, num_output: int) -> None:
        self.index = index
        self.arrived_s = arrived_s  # at the client
        self.accepted_s: float | None = None  # by its replica
        self.num_prompt = num_prompt
        self.num_output = num_output
        self.num_unread = num_prompt  # of the prompt, by the engine
        self.is_queued = False  # by its caller
        self.num_made = 0  # tokens, known once it has ended
        self.replica: Replica | None = None
        self.first_s: float | None = None
        self.last_s: float | None = None
        self.first_step = 0  # of its replica's steps, the one that made its first token
        self.end_step = 0  # the one that makes its last token
        self.ended_s: float | None = None
        self.outcome: Outcome | None = None
        self.on_end: Callable[[Request], None] | None = None  # the caller's, once a replica has it
        self.token_times_s: list[float] = []  # of each token, when they are kept
