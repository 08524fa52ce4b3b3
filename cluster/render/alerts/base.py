"""An alert: when it fires, how bad it is, what is seen, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cluster.render.objects import Object

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule.

    `critical` is for what users see now, and wakes somebody; `warning` is for the next working day.
    """

    name: str
    expr: str
    for_s: int  # how long it has to hold
    severity: Severity
    summary: str  # one line; `{{ $labels.x }}` and `{{ $value }}` are Prometheus' to fill in
    runbook: str  # what to look at, and what to do, in this order

    def rule(self, runbook_url: str | None) -> Object:
        """As the Prometheus operator takes it."""
        annotations = {"summary": self.summary, "runbook": self.runbook}
        if runbook_url is not None:
            annotations["runbook_url"] = f"{runbook_url.rstrip('/')}#{self.name.lower()}"
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": duration(self.for_s),
            "labels": {"severity": self.severity},
            "annotations": annotations,
        }


def duration(seconds: int) -> str:
    """As Prometheus writes it: `90s`, `15m`, `2h`."""
    for unit_s, unit in ((3600, "h"), (60, "m")):
        if seconds and seconds % unit_s == 0:
            return f"{seconds // unit_s}{unit}"
    return f"{seconds}s"
