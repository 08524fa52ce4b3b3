from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.telemetry.metrics import ALL, Metric


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_every_metric_is_documented_as_it_is(metric: Metric, repository: Path) -> None:
    row = f"| `{metric.name}` | {', '.join(metric.labels)} | {metric.description} |".replace("|  |", "| |")
    assert row in (repository / "docs" / "operations.md").read_text()


def test_names_are_unique_and_end_in_their_unit() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL)
    for metric in ALL:
        if metric.kind != "gauge":
            assert metric.name.endswith("_total" if metric.kind == "counter" else "_seconds")


def test_histograms_have_ascending_buckets() -> None:
    for metric in ALL:
        assert list(metric.buckets) == sorted(metric.buckets)
        assert bool(metric.buckets) == (metric.kind == "histogram")
