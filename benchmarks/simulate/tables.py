"""What the simulator found, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.simulate.validation.accuracy import Accuracy
from benchmarks.simulate.validation.comparison import Validation
from benchmarks.simulate.what_if import Row

NOTHING = "-"


def what_if_table(rows: Sequence[Row]) -> Table:
    """Stacks side by side, a column each."""
    table = Table(title=f"{rows[0].num_requests:,} requests, simulated")
    table.add_column("")
    for row in rows:
        table.add_column(row.name, justify="right")
    for label, cells in _lines(rows):
        table.add_row(label, *cells)
    return table


def _lines(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    costs = [row.costs for row in rows]
    lines = [
        (
            "replicas, min / mean / max",
            [f"{row.min_replicas} / {row.mean_replicas:.1f} / {row.max_replicas}" for row in rows],
        ),
        ("replica-hours", [_number(row.replica_hours, 2) for row in rows]),
        (
            "decisions up / down / turns",
            [f"{row.num_ups} / {row.num_downs} / {row.num_turns}" for row in rows],
        ),
        ("nodes, max", [NOTHING if row.max_nodes is None else f"{row.max_nodes}" for row in rows]),
        ("node-hours", [_number(None if cost is None else cost.node_hours, 2) for cost in costs]),
        ("USD per hour", [_number(None if cost is None else cost.usd_per_hour, 2) for cost in costs]),
        (
            "USD per million output tokens",
            [_number(None if cost is None else cost.usd_per_million_output_tokens, 2) for cost in costs],
        ),
        (
            "USD per million tokens",
            [_number(None if cost is None else cost.usd_per_million_tokens, 2) for cost in costs],
        ),
        ("output tokens/s", [_number(row.output_tokens_per_s, 0) for row in rows]),
        ("met the objectives", [_share(row.attainment) for row in rows]),
        ("not ok", [_failed(row) for row in rows]),
    ]
    for metric in ("ttft", "tpot", "e2e"):
        for level in ("p50", "p95", "p99"):
            cells = [_number(row.latencies_ms[metric][level], 0) for row in rows]
            lines.append((f"{metric} {level}, ms", cells))
    return lines


def accuracy_table(validation: Validation) -> Table:
    """One workload on one deployment: real, simulated, and how far apart."""
    table = Table(title=f"{validation.workload} on {validation.model}, {validation.num_requests:,} requests")
    for name in ("figure", "real", "simulated", "of the seeds", "error", "limit", ""):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for accuracy in validation.accuracies:
        table.add_row(*_accuracy_cells(accuracy))
    table.caption = f"others used {validation.foreign_cores:.1f} cores of this machine meanwhile"
    return table


def _accuracy_cells(accuracy: Accuracy) -> list[str]:
    verdict = {None: "", True: "met", False: "missed"}[accuracy.is_met]
    return [
        f"{accuracy.figure}, {accuracy.unit}",
        _number(accuracy.real, 1),
        _number(accuracy.simulated, 1),
        f"{_number(accuracy.low, 1)} to {_number(accuracy.high, 1)}",
        NOTHING if accuracy.error is None else f"{accuracy.error:+.1%}",
        "" if accuracy.limit is None else f"{accuracy.limit:.0%}",
        verdict,
    ]


def _number(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else f"{value:,.{decimals}f}"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def _failed(row: Row) -> str:
    """Share and kinds of those that did not end well."""
    others = {kind: num for kind, num in row.outcomes.items() if kind != "ok" and num}
    if not others:
        return "0"
    kinds = ", ".join(f"{num:,} {kind}" for kind, num in sorted(others.items()))
    return f"{sum(others.values()) / row.num_requests:.1%} ({kinds})"
