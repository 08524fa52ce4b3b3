"""What a run comes to in a few figures: how fast it was, how much it did, how it ended.

The page, the terminal and Markdown say the same because all of them say this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.records import Outcome
from benchmarks.report.inputs import RunLike
from benchmarks.report.judgements import OUTCOME_WORDS, by_number
from benchmarks.report.wording import NOTHING, figure, number, share
from benchmarks.statistics.percentiles import UPPER
from benchmarks.summary.certification import ClientFigures
from benchmarks.summary.figures import Distribution, Figures

PERCENTILES = tuple(f"p{percentile:g}" for percentile in UPPER)
FAILED = "failed"  # where a percentile falls on requests that have no value

RUN_WORDS = {
    "offered_rate": "Offered",
    "completed_rate": "Answered",
    "output_throughput": "Output, by the server's usage",
    "output_throughput_by_client": "Output, by the client's count",
    "total_throughput": "Prompts and output, by the server's usage",
    "goodput": "Goodput",
    "attainment": "Met the objectives",
    "error_rate": "Failed",
}
_LATENCIES = (("ttft", "ttft_from_send"), ("itl", None), ("tpot", None), ("e2e", "e2e_from_send"))


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """One metric's percentiles.

    Args:
        is_beside: it never stands alone: the same from sending, or of the requests that have a value.
        cells: one for each of PERCENTILES, then the largest, in words.
    """

    metric: str
    unit: str
    basis: str
    is_beside: bool
    cells: tuple[str, ...]
    num: int
    num_without_value: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure that one looks for first."""

    name: str
    value: str
    unit: str
    beside: str


def latency_rows(figures: Figures) -> list[LatencyRow]:
    """ttft, itl, tpot and e2e as far as the requests have them, each with what stands beside it."""
    rows = []
    for metric, from_send in _LATENCIES:
        found = figures.of_requests.get(metric)
        if found is None:
            continue
        basis = (
            "from intended arrival"
            if from_send
            else "between pieces"
            if metric == "itl"
            else "mean of a request"
        )
        rows.append(_row(metric, basis, found))
        if from_send and from_send in figures.of_requests:
            rows.append(_row(metric, "from sending", figures.of_requests[from_send], is_beside=True))
        if found.num_without_value and found.num:
            rows.append(_row(metric, "failed left out", _of_values_alone(found), is_beside=True))
    return rows


def _row(metric: str, basis: str, found: Distribution, *, is_beside: bool = False) -> LatencyRow:
    cells = (*(cell(found, name) for name in PERCENTILES), number(found.max))
    return LatencyRow(metric, found.unit, basis, is_beside, cells, found.num, found.num_without_value)


def _of_values_alone(found: Distribution) -> Distribution:
    return replace(found, num_without_value=0, percentiles=found.percentiles_of_values_alone)


def cell(distribution: Distribution, name: str) -> str:
    """A percentile: its value, FAILED where so many requests have none, NOTHING where too few resolve it."""
    value = distribution.percentiles.get(name)
    if value is not None:
        return number(value)
    needed = {f"p{percentile:g}": num for percentile, num in UPPER.items()}[name]
    has_enough = distribution.num + distribution.num_without_value >= needed
    return FAILED if has_enough and distribution.num_without_value else NOTHING


def tiles(run: RunLike) -> list[Tile]:
    """The headline of headlines; without latencies where they are none (a closed loop)."""
    summary = run.summary
    found = []
    if summary.latencies_are_headline:
        found = [_latency_tile(row) for row in latency_rows(summary.overall) if not row.is_beside]
    offered, answered = summary.value("offered_rate"), summary.value("completed_rate")
    found.append(Tile("Answered", number(answered), "requests/s", f"offered {figure(offered)}"))
    by_usage, by_client = summary.value("output_throughput"), summary.value("output_throughput_by_client")
    if by_usage is not None:
        found.append(Tile("Output", number(by_usage), "tokens/s", f"client counted {figure(by_client)}"))
    elif by_client is not None:
        found.append(Tile("Output", number(by_client), "pieces/s", "client's count; no usage"))
    if summary.objectives is not None:
        met = f"{share(summary.objectives.attainment)} met objectives"
        found.append(Tile("Goodput", number(summary.objectives.goodput_rps), "requests/s", met))
    return found


def _latency_tile(row: LatencyRow) -> Tile:
    p50, p95, p99 = (row.cells[PERCENTILES.index(name)] for name in ("p50", "p95", "p99"))
    if p95 == NOTHING:
        return Tile(f"{row.metric} p50", p50, row.unit, "too few for a p95")
    return Tile(f"{row.metric} p95", p95, "" if p95 == FAILED else row.unit, f"p50 {p50}, p99 {p99}")


def run_values(figures: Figures) -> list[tuple[str, str]]:
    """(name, value with its unit) of each metric of the run that is defined."""
    return [
        (
            RUN_WORDS.get(name, name),
            share(found.value) if found.unit == "share" else figure(found.value, found.unit),
        )
        for name, found in figures.of_run.items()
        if found.value is not None
    ]


def outcome_rows(figures: Figures) -> list[tuple[str, int, float]]:
    """(how they ended, how many, share of all), most frequent first."""
    return [
        (OUTCOME_WORDS[Outcome(name)], num, num / figures.num_requests) for name, num in by_number(figures)
    ]


def further_rows(figures: Figures) -> list[tuple[str, Sequence[str]]]:
    """(metric with its unit, p50, worst 10 %, 5 %, 1 % and mean) of what is no headline latency."""
    shown = {name for pair in _LATENCIES for name in pair}
    rows: list[tuple[str, Sequence[str]]] = []
    for name, found in figures.of_requests.items():
        if name in shown:
            continue
        names = ("p50", "p90", "p95", "p99") if found.better == "lower" else ("p50", "p10", "p5", "p1")
        cells = [number(found.percentiles.get(one)) for one in names]
        rows.append((f"{name.replace('_', ' ')}, {found.unit}", (*cells, number(found.mean))))
    return rows


def client_values(client: ClientFigures) -> list[tuple[str, str]]:
    """(name, value) of how the client itself did, as far as it is known."""
    pairs = [
        ("dispatch delay, p50", figure(client.dispatch_p50_ms, "ms")),
        ("dispatch delay, p99", figure(client.dispatch_p99_ms, "ms")),
        ("event-loop lag of a typical second, p50", figure(client.lag_p50_ms, "ms")),
        ("event-loop lag of a typical second, p99", figure(client.lag_p99_ms, "ms")),
        ("event-loop lag, worst", figure(client.lag_max_ms, "ms")),
        ("busiest second of a worker", f"{share(client.cpu_max)} of a core"),
        ("longest wait for a core", f"{share(client.cpu_wait_max)} of a second"),
    ]
    return [(name, value) for name, value in pairs if not value.startswith(NOTHING)]
