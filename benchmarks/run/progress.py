"""How a run stands: what the parent of the workers hands about once a second to whoever watches.

Knows nothing of terminals; `live` draws it, a sweep decides by it whether to stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.records import ClientSample


@dataclass(frozen=True, slots=True)
class Progress:
    """The run so far.

    Args:
        at_s: seconds after the run's start.
        duration_s: seconds in which requests arrive; answers may come after them.
        num_scheduled: requests of the whole schedule.
        num_sent: handed to a socket so far.
        num_ended: ended so far, however they ended.
        num_outcomes: outcome -> requests that ended so, so far; nothing for an outcome that none had.
        samples: of all workers so far, in the order in which they came.
    """

    at_s: float
    duration_s: float
    num_scheduled: int
    num_sent: int
    num_ended: int
    num_in_flight: int
    num_outcomes: Mapping[str, int]
    samples: Sequence[ClientSample]
