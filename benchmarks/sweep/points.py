"""What one rate of a sweep gave, and whether the server was good enough there.

Knows nothing of how it was measured or of which rate comes next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_ERROR_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Point:
    """One open-loop run at one rate.

    Args:
        rate_rps: what the schedule asked for.
        num_requests: of the measured window.
        num_errors: of those, ended neither well nor abandoned as planned.
        is_saturated: the server fell behind the rate; None: the run was too short to tell, and `saturation`
            says why. It then counts as keeping up, as nothing shows the contrary.
        attainment: share of the requests that met the objectives; None: the workload has none.
        objective: share that should; None: the workload has no objectives.
        throughput_rps, goodput_rps: that ended well; that met the objectives. None: not defined.
        latencies_ms: metric -> percentile -> value; None where failed requests hold the percentile.
        problems: why the client's own figures make the run invalid; empty: it is valid.
        folder: of the run, relative to the sweep's.
        stopped_because: why the run ended early; None: it did not.
    """

    rate_rps: float
    num_requests: int
    num_errors: int
    is_saturated: bool | None
    saturation: str = ""
    attainment: float | None = None
    objective: float | None = None
    throughput_rps: float | None = None
    goodput_rps: float | None = None
    latencies_ms: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    folder: str = ""
    stopped_because: str | None = None
    was_interrupted: bool = False

    @property
    def is_valid(self) -> bool:
        """Whether it says something of the server, and not only of the client."""
        return not self.problems and not self.was_interrupted

    @property
    def is_sustained(self) -> bool:
        """The server kept up and answered: turning requests away is no way to keep up."""
        has_answered = self.num_errors <= MAX_ERROR_SHARE * self.num_requests
        return self.num_requests > 0 and has_answered and self.is_saturated is not True

    @property
    def is_attained(self) -> bool:
        """Sustained, and the objectives were met by as many as should.

        An over-saturated run does not attain them, whatever its share: the share depends on its length.
        """
        if self.objective is None or self.attainment is None:
            return False
        return self.is_sustained and self.attainment >= self.objective

    @property
    def has_failed_wholly(self) -> bool:
        return self.num_requests > 0 and self.num_errors == self.num_requests
