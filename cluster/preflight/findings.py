"""One thing that was looked at, and how it is. Knows nothing of what is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "bad", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`bad` would make an apply fail, or what it starts; `skipped` could not be looked at, and says why."""

    area: str  # tools, account, quotas, images, secrets, cluster
    subject: str
    state: State
    text: str


def is_fit(findings: Iterable[Finding]) -> bool:
    """Whether nothing is bad."""
    return all(finding.state != "bad" for finding in findings)
