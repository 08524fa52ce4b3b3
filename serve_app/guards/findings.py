"""What was found in one request: counted and told by kind, and never what it said."""

from __future__ import annotations

from collections import Counter

from serve_app.guards.base import Action, Finding
from serve_app.telemetry.metrics import GUARD_FINDINGS, Count

GUARD = "x-manta-guard"
FAILED = "guard_failed"


class Findings:
    """Of one direction of one request."""

    def __init__(self, direction: str, count: Count) -> None:
        self._direction = direction
        self._count = count
        self.counts: Counter[tuple[Action, str]] = Counter()

    def add(self, finding: Finding) -> None:
        self.counts[(finding.action, finding.kind)] += 1
        self._count(
            GUARD_FINDINGS,
            direction=self._direction,
            category=finding.category.value,
            kind=finding.kind,
            action=finding.action.value,
        )

    def failed(self, action: Action) -> None:
        """The guard itself broke."""
        self.counts[(action, FAILED)] += 1
        self._count(
            GUARD_FINDINGS, direction=self._direction, category=FAILED, kind=FAILED, action=action.value
        )

    def blocked_by(self) -> list[str]:
        return sorted({kind for action, kind in self.counts if action is Action.BLOCK})

    def told(self) -> str:
        """For a header: `in:redact email=2, in:flag injection=1`."""
        return ", ".join(
            f"{self._direction}:{action.value} {kind}={num}"
            for (action, kind), num in sorted(self.counts.items())
        )
