"""What lint says: how bad, where, what is wrong, and the way out. Knows nothing of how it was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How sure it is that this does harm. Ordered: a larger one is worse."""

    NOTE = 1  # works; a reader may want to know
    WARNING = 2  # is accepted, and most likely does something else than was meant
    ERROR = 3  # is refused (by the API server, the operator, Ray), or cannot work

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, order=True)
class Place:
    """Where: a path within one document of one file.

    Args:
        file: as it was named on the command line; `-` for standard input.
        document: counts the documents of the file from 1.
        line: of the file, from 1; of the nearest part above for what is missing.
        path: `spec.template.spec.containers[0].image`; text within text after ` > `.
    """

    file: str
    document: int
    line: int
    path: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        rule: its name, `family/what`, by which it is ignored.
        message: what is wrong and why that matters, on one line.
        fix: the way out, on one line.
        about: the object, `RayService ml/chat`; empty for what is wrong with a file.
    """

    severity: Severity
    rule: str
    place: Place
    message: str
    fix: str
    about: str = ""


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """By place, the worst first where several share one; each said once."""
    unique = dict.fromkeys(findings)
    return sorted(unique, key=lambda found: (found.place, -found.severity, found.rule, found.message))


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The worst severity among them; None without any."""
    return max((found.severity for found in findings), default=None)
