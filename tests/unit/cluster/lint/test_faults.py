"""A corpus of faults: one change to a manifest that is right, and the one thing that must be said of it.

Each is found with its severity, its rule, its words and its line, and nothing else is said above a note.
The corpus is faults.yaml, beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from cluster.lint.findings import Finding, Severity
from cluster.lint.lint import lint
from cluster.lint.yaml_text import read_documents

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Fault:
    """One change, and what is to be said.

    Args:
        file: in the folder of good manifests.
        old: is in that file once; `new` takes its place.
        says: is part of the message, or of the way out.
        at: is part of the line that is named.
    """

    name: str
    old: str
    new: str
    severity: str
    rule: str
    says: str
    at: str
    file: str = "production"


def corpus() -> list[Fault]:
    documents = read_documents((HERE / "faults.yaml").read_text())
    return [Fault(**fault) for document in documents for fault in document.value]  # type: ignore[attr-defined]


@cache
def good(name: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """A good manifest's text, and the little that is said of it."""
    path = HERE / "good" / f"{name}.yaml"
    return path.read_text(), frozenset(_key(found) for found in lint([str(path)]))


def _key(found: Finding) -> tuple[str, str]:
    return found.rule, found.message


@pytest.mark.parametrize("fault", corpus(), ids=lambda fault: fault.name)
def test_fault_is_found_and_nothing_else(fault: Fault, tmp_path: Path) -> None:
    text, before = good(fault.file)
    assert text.count(fault.old) == 1, "the change must be of one place"
    changed = text.replace(fault.old, fault.new)
    path = tmp_path / "changed.yaml"
    path.write_text(changed)

    found = lint([str(path)])
    said = [each for each in found if _key(each) not in before and each.severity > Severity.NOTE]

    assert [(found.severity.word, found.rule) for found in said] == [(fault.severity, fault.rule)], said
    assert fault.says in f"{said[0].message}; {said[0].fix}"
    assert fault.at in changed.splitlines()[said[0].place.line - 1]


def test_the_corpus_is_large_and_has_every_family() -> None:
    faults = corpus()
    assert len(faults) >= 60
    assert len({fault.name for fault in faults}) == len(faults)
    families = {fault.rule.partition("/")[0] for fault in faults}
    assert families >= {
        "schema", "serve", "kuberay", "ray", "pods", "fit", "scaling", "head", "references", "selectors", "network",
        "litellm", "secrets", "security", "yaml",
    }  # fmt: skip
