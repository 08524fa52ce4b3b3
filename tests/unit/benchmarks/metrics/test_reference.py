"""The documentation's table has every metric, and is a table."""

from __future__ import annotations

from pathlib import Path

from benchmarks.metrics.catalogue import REQUEST_METRICS, RUN_METRICS
from benchmarks.metrics.reference import render


def test_every_metric_has_a_whole_row() -> None:
    lines = render().splitlines()
    for metric in (*REQUEST_METRICS, *RUN_METRICS):
        (row,) = [line for line in lines if line.startswith(f"| `{metric.name}` |")]
        assert len(row.replace("\\|", "").split("|")) == 7
        assert metric.unit in row
        assert metric.undefined in row


def test_formulas_speak_of_fields_that_records_have() -> None:
    from benchmarks.records import Record

    fields = set(Record.__struct_fields__)
    for metric in REQUEST_METRICS:
        words = {word.strip("(),;:/") for word in metric.formula.split()}
        named = {word for word in words if word.endswith(("_ns", "_us")) or word.startswith("num_")}
        assert named <= fields, metric.name
        assert named, metric.name


def test_the_documentation_is_up_to_date(repository: Path) -> None:
    assert (repository / "docs" / "metrics.md").read_text() == render(), "run: make docs"
