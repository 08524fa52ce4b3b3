"""Findings as text, JSON, annotations of GitHub's workflows, and SARIF 2.1.0. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from cluster.lint.findings import Finding, Severity

# https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions#setting-an-error-message
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def line(found: Finding, *, word: str) -> str:
    """`chat.yaml:12: error: RayService ml/chat: spec.x: what is wrong; the way out [schema/value]`

    Args:
        word: for the severity, which may be coloured.
    """
    place = found.place
    parts = [f"{place.file}:{place.line}", word, found.about, place.path, f"{found.message}; {found.fix}"]
    return f"{': '.join(part for part in parts if part)} [{found.rule}]"


def document(found: Sequence[Finding]) -> dict[str, Any]:
    """As JSON: how many of each severity, and all of them."""
    counts = Counter(each.severity for each in found)
    return {
        "counts": {severity.word: counts[severity] for severity in sorted(Severity, reverse=True)},
        "findings": [
            {
                "severity": each.severity.word,
                "rule": each.rule,
                "file": each.place.file,
                "document": each.place.document,
                "line": each.place.line,
                "object": each.about,
                "path": each.place.path,
                "message": each.message,
                "fix": each.fix,
            }
            for each in found
        ],
    }


def annotation(found: Finding) -> str:
    """`::error file=chat.yaml,line=12,title=schema/value::RayService ml/chat: ...`, which GitHub shows at the line."""
    place = found.place
    said = ": ".join(filter(None, (found.about, place.path, f"{found.message}; {found.fix}")))
    where = f"file={_property(place.file)},line={place.line},title={_property(found.rule)}"
    return f"::{_COMMANDS[found.severity]} {where}::{_escaped(said)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def sarif(found: Sequence[Finding]) -> dict[str, Any]:
    """https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html, which code scanning takes."""
    rules = sorted({each.rule for each in found})
    driver = {"name": "manta cluster lint", "rules": [{"id": rule} for rule in rules]}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [_result(each) for each in found]}],
    }


def _result(found: Finding) -> dict[str, Any]:
    place = found.place
    said = ": ".join(filter(None, (found.about, place.path, f"{found.message}; {found.fix}")))
    location = {
        "artifactLocation": {"uri": PurePath(place.file).as_posix()},
        "region": {"startLine": place.line},
    }
    return {
        "ruleId": found.rule,
        "level": found.severity.word,
        "message": {"text": said},
        "locations": [{"physicalLocation": location}],
    }


def summary(found: Sequence[Finding], *, num_hidden: int) -> str:
    """`2 errors, 1 warning, 3 notes (--notes shows them)`"""
    counts = Counter(each.severity for each in found)
    said = [
        f"{counts[each]} {each.word}{'s' * (counts[each] != 1)}" for each in sorted(Severity, reverse=True)
    ]
    return ", ".join(said) + (" (--notes shows them)" if num_hidden else "")
