"""No alarm where nothing is wrong: manifests in the shapes that people publish, and our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.lint.findings import Severity
from cluster.lint.lint import lint

GOOD = sorted((Path(__file__).parent / "good").glob("*.yaml"))
RENDERED = sorted(
    path for path in (Path(__file__).parents[4] / "kuberay/rendered").glob("*") if path.is_dir()
)


@pytest.mark.parametrize("path", [*GOOD, *RENDERED], ids=lambda path: path.name)
def test_nothing_to_complain_of(path: Path) -> None:
    assert [found for found in lint([str(path)]) if found.severity > Severity.NOTE] == []


def test_notes_of_a_whole_service_are_only_of_what_is_outside() -> None:
    production = next(path for path in GOOD if path.stem == "production")
    assert {found.rule for found in lint([str(production)])} == {"schema/kind", "references/external"}
