"""What a sweep found: the highest rate sustained, the highest that attains the objectives, and all points.

Knows nothing of how points were measured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results_folder import write_json
from benchmarks.sweep.points import Point
from benchmarks.sweep.search import Bracket, Stop, bracket, is_attained, is_sustained


@dataclass(frozen=True, slots=True)
class Sweep:
    """All points in the order in which they were measured, and why there are no more."""

    points: tuple[Point, ...]
    stop: Stop

    @property
    def capacity(self) -> Bracket:
        """Around the highest rate that the server sustains."""
        return bracket(self.points, is_sustained)

    @property
    def objectives(self) -> Bracket | None:
        """Around the highest rate that attains the objectives; None: there are none."""
        if all(point.objective is None for point in self.points):
            return None
        return bracket(self.points, is_attained)

    @property
    def max_goodput(self) -> Point | None:
        """The point with the most requests a second that met the objectives, sustained or not."""
        scored = [point for point in self.points if point.is_valid and point.goodput_rps is not None]
        return max(scored, key=lambda point: point.goodput_rps or 0.0, default=None)

    @property
    def unproved(self) -> tuple[Point, ...]:
        """Points that count as sustained because nothing shows the contrary: their runs were too short to tell."""
        return tuple(
            point
            for point in self.points
            if point.is_valid and point.is_sustained and point.is_saturated is None
        )

    @property
    def exit_code(self) -> int:
        """0: measured; 1: no rate attains the objectives; 2: not measured; 3: the client was the limit."""
        if self.stop.cause in ("client", "gone", "interrupted"):
            return {"client": 3, "gone": 2, "interrupted": 130}[self.stop.cause]
        limit = self.objectives or self.capacity
        return 1 if limit.low_rps is None else 0


def document(sweep: Sweep) -> dict[str, Any]:
    """JSON; what is not known is null."""
    goodput = sweep.max_goodput
    return {
        "capacity_rps": sweep.capacity.low_rps,
        "capacity_below_rps": sweep.capacity.high_rps,
        "attained_rps": sweep.objectives and sweep.objectives.low_rps,
        "attained_below_rps": sweep.objectives and sweep.objectives.high_rps,
        "max_goodput_rps": goodput and goodput.goodput_rps,
        "max_goodput_at_rps": goodput and goodput.rate_rps,
        "unproved_rps": sorted({point.rate_rps for point in sweep.unproved}),
        "stopped_because": sweep.stop.reason,
        "cause": sweep.stop.cause,
        "points": [_point(point) for point in sweep.points],
    }


def write_document(folder: Path, sweep: Sweep, settings: dict[str, Any]) -> None:
    """Write `folder`/sweep.json; a kill leaves the whole one from before, never half of one."""
    draft = folder / "sweep.json.part"
    write_json(draft, {**document(sweep), "settings": settings})
    draft.replace(folder / "sweep.json")


def _point(point: Point) -> dict[str, Any]:
    return {
        **asdict(point),
        "is_valid": point.is_valid,
        "is_sustained": point.is_sustained,
        "is_attained": None if point.objective is None else point.is_attained,
    }
