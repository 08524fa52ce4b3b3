"""The tables of a run's page: figures, the slowest requests, errors, definitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from benchmarks.metrics.asked import is_error
from benchmarks.metrics.base import RequestMetric, RunMetric
from benchmarks.metrics.catalogue import REQUEST_METRICS, RUN_METRICS
from benchmarks.records import Record
from benchmarks.report.frame import table
from benchmarks.report.headline import (
    FAILED,
    PERCENTILES,
    LatencyRow,
    client_values,
    further_rows,
    latency_rows,
    outcome_rows,
    run_values,
)
from benchmarks.report.judgements import OUTCOME_WORDS
from benchmarks.report.markup import Child, Html, join, tag
from benchmarks.report.wording import count, figure, number, share
from benchmarks.summary.certification import MAX_SHARE, Certification
from benchmarks.summary.figures import Figures

MAX_ERROR_KINDS = 12
NUM_SLOWEST = 10


def figures_tables(figures: Figures, doubtful: Collection[str] = ()) -> Html:
    """Latencies, rates and outcomes of all requests, or of one entry's.

    Args:
        doubtful: percentiles ("ttft p99") that the client itself could explain.
    """
    blocks: list[Child] = []
    rows = latency_rows(figures)
    if rows:
        blocks.append(_latency_table(rows, doubtful))
    rates = table(("Of the whole window", ""), run_values(figures))
    outcomes = table(
        ("Requests", "", ""),
        [(words, f"{num:,}", share(part)) for words, num, part in outcome_rows(figures)],
    )
    blocks.append(tag("div", rates, outcomes, class_="pair"))
    further = further_rows(figures)
    if further:
        head = ("Also", "p50", "worst 10 %", "worst 5 %", "worst 1 %", "mean")
        blocks.append(
            tag("details", tag("summary", "Further figures"), table(head, [(n, *c) for n, c in further]))
        )
    return join(blocks)


def _latency_table(rows: Sequence[LatencyRow], doubtful: Collection[str]) -> Html:
    head = ("Milliseconds", "", *PERCENTILES, "max", "values", "without")
    body: list[Sequence[Child]] = [
        (
            "" if row.is_beside else row.metric,
            row.basis,
            *_percentiles(row, doubtful),
            f"{row.num:,}",
            f"{row.num_without_value:,}",
        )
        for row in rows
    ]
    classes = ["under" if row.is_beside else "" for row in rows]
    words = (
        "Percentiles rank requests that should have a value and have none (they are counted at the right) slower "
        f"than all others; where a percentile falls on them it reads \N{LEFT DOUBLE QUOTATION MARK}{FAILED}"
        "\N{RIGHT DOUBLE QUOTATION MARK}. One that too few requests resolve is left empty."
    )
    if doubtful:
        words += f" The client itself could explain more than {MAX_SHARE:.0%} of those in a yellow frame."
    return join((table(head, body, num_left=2, classes=classes), tag("p", words, class_="note")))


def _percentiles(row: LatencyRow, doubtful: Collection[str]) -> list[Child]:
    cells: list[Child] = []
    for name, words in zip((*PERCENTILES, "max"), row.cells, strict=True):
        if words == FAILED:
            cells.append(tag("span", words, class_="chip bad"))
        elif f"{row.metric} {name}" in doubtful and not row.is_beside:
            cells.append(tag("span", words, class_="chip warn"))
        else:
            cells.append(words)
    return cells


def doubtful_figures(certification: Certification, entry: str | None = None) -> frozenset[str]:
    """Percentiles ("ttft p99") of which the client could explain too much; of an entry of a mix, or of the run."""
    prefix = "" if entry is None else f"{entry} "
    found = (one.figure for one in certification.figures if one.share > MAX_SHARE)
    return frozenset(figure.removeprefix(prefix) for figure in found if figure.startswith(prefix))


def slowest_table(records: Sequence[Record]) -> Html | None:
    """The requests that a reader looks up in records.jsonl first."""
    ended = [record for record in records if record.sent_ns is not None]
    slowest = sorted(ended, key=lambda record: record.intended_ns - record.end_ns)[:NUM_SLOWEST]
    if not slowest:
        return None
    rows = [
        (
            str(record.index),
            OUTCOME_WORDS[record.outcome],
            figure(record.intended_ns / 1e9, "s"),
            _after(record, record.sent_ns),
            _after(record, record.headers_ns),
            _after(record, record.first_token_ns),
            _after(record, record.end_ns),
        )
        for record in slowest
    ]
    head = ("Request", "", "due at", "sent", "headers", "first token", "end")
    note = tag(
        "p",
        "Milliseconds after it was due. The number is the record's index in records.jsonl.",
        class_="note",
    )
    summary = tag("summary", f"The {len(slowest)} that took longest")
    return tag("details", summary, table(head, rows, num_left=2), note)


def _after(record: Record, moment_ns: int | None) -> str:
    return number(None if moment_ns is None else (moment_ns - record.intended_ns) / 1e6)


def error_table(records: Sequence[Record]) -> Html:
    """What failed requests said, most frequent first."""
    kinds = Counter((record.outcome, record.status, record.detail) for record in records if is_error(record))
    rows: list[Sequence[Child]] = [
        (OUTCOME_WORDS[outcome], f"{num:,}", "" if status is None else str(status), detail)
        for (outcome, status, detail), num in kinds.most_common(MAX_ERROR_KINDS)
    ]
    rest = len(kinds) - len(rows)
    note = tag("p", f"And {rest:,} more; records.jsonl has all of them.", class_="note") if rest > 0 else None
    return tag(
        "div", table(("Error", "requests", "status", "what it said"), rows, wraps=True), note, class_="errors"
    )


def client_tables(certification: Certification) -> Html:
    """How the client itself did, and what of each figure it could explain."""
    measured = client_values(certification.client)
    workers = count(certification.client.num_workers, "worker")
    rows = [
        (one.figure, number(one.value_ms), number(one.dispatch_ms), number(one.lag_ms), share(one.share))
        for one in certification.figures
    ]
    head = ("Milliseconds", "measured", "by late sending", "by a late event loop", "client's share, at most")
    notes = [tag("li", note) for note in certification.notes]
    explained = tag(
        "details", tag("summary", "What the client could explain of each figure"), table(head, rows)
    )
    return join(
        (
            tag("div", table((f"Of {workers}, in the measured window", ""), measured), class_="pair")
            if measured
            else None,
            tag("ul", *notes, class_="notes") if notes else None,
            explained if rows else None,
        )
    )


DEFINITIONS_LEAD = (
    "In the words of a record's fields in records.jsonl; times there are nanoseconds after the run's start. "
    "docs/benchmarking.md tells the method."
)


def definitions() -> Html:
    """Every metric's unit and formula."""
    metrics: tuple[RequestMetric | RunMetric, ...] = (*REQUEST_METRICS, *RUN_METRICS)
    rows = [
        (metric.name, metric.unit, f"{metric.formula}. {_undefined(metric.undefined)}") for metric in metrics
    ]
    return table(("Metric", "unit", "what it is"), rows, num_left=3, wraps=True)


def _undefined(words: str) -> str:
    return f"No value where: {words}." if words else ""
