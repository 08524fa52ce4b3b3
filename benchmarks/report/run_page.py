"""The page of one run: an engineer who gets only this file knows what was run, whether it may be believed,
and what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.figures import Figures
from benchmarks.metrics.asked import is_error
from benchmarks.metrics.base import RequestMetric, RunMetric
from benchmarks.metrics.catalogue import REQUEST_METRICS, RUN_METRICS
from benchmarks.records import Record
from benchmarks.report.client_plots import client_figures
from benchmarks.report.frame import Section, charts, page, table
from benchmarks.report.headline import (
    FAILED,
    PERCENTILES,
    LatencyRow,
    client_values,
    further_rows,
    latency_rows,
    outcome_rows,
    run_values,
    tiles,
)
from benchmarks.report.inputs import RunLike
from benchmarks.report.judgements import OUTCOME_WORDS, SYMBOLS, Judgement, judgements
from benchmarks.report.latency_plots import over_time, percentile_curves
from benchmarks.report.length_plots import length_figures
from benchmarks.report.load_plots import errors_over_time, last_end_s, load_over_time
from benchmarks.report.markup import Child, Html, join, tag
from benchmarks.report.what_was_run import meta, what_was_run
from benchmarks.report.wording import count, figure, number, share

MAX_ERROR_KINDS = 12
NUM_SLOWEST = 10


def render_run(run: RunLike, events: Mapping[float, str] | None = None) -> str:
    """The whole file.

    Args:
        events: seconds after the run's start -> what was done to the server then.
    """
    return page(
        title=run.workload.name,
        kicker="Load test",
        meta=meta(run.workload, run.settings),
        top=join((verdicts(judgements(run)), tile_row(run))),
        sections=[
            *run_sections(run, events or {}),
            Section("what", "What was run", what_was_run(run.workload, run.settings)),
            Section("definitions", "Definitions", definitions(), DEFINITIONS_LEAD),
        ],
    )


def verdicts(found: Sequence[Judgement]) -> Html:
    """Cards, one a verdict."""
    return tag("div", *(_verdict(judgement) for judgement in found), class_="verdicts")


def _verdict(judgement: Judgement) -> Html:
    words = tag("b", tag("i", SYMBOLS[judgement.tone], aria_hidden="true"), judgement.words)
    if len(judgement.reasons) == 1 or judgement.tone != "bad":
        reasons = join(tag("p", reason) for reason in judgement.reasons)
    else:
        reasons = tag("ul", *(tag("li", reason) for reason in judgement.reasons))
    return tag("div", words, reasons, class_=f"verdict {judgement.tone}")


def tile_row(run: RunLike) -> Html:
    """The figures that one looks for first."""
    return tag(
        "div",
        *(
            tag(
                "div",
                tag("span", tile.name),
                tag("b", tile.value, tag("small", tile.unit)),
                tag("em", tile.beside),
                class_="tile",
            )
            for tile in tiles(run)
        ),
        class_="tiles",
    )


def run_sections(run: RunLike, events: Mapping[float, str], prefix: str = "") -> list[Section]:
    """All that is seen of a run below its verdicts; `prefix` keeps anchors apart on a page of several runs."""
    window, objectives = run.summary.window, run.workload.objectives
    counted = [record for record in run.records if _is_in(record, window.start_s, window.end_s)]
    end_s = last_end_s(run.records, window.end_s)
    arrivals_end_s = max([window.end_s, *(record.intended_ns / 1e9 for record in run.records)])
    errors = errors_over_time(run.records, arrivals_end_s, window.start_s, events)
    sections = [
        Section(f"{prefix}figures", "Figures", _figures(run)),
        Section(
            f"{prefix}latency",
            "Latency over time",
            charts(*over_time(run.records, arrivals_end_s, window.start_s, objectives, events)),
            "Each request at the moment at which it was due, whenever it could be sent.",
        ),
        Section(
            f"{prefix}percentiles",
            "Percentiles",
            charts(*percentile_curves(counted, objectives)),
            "The tail is stretched: each further nine takes as much room as the one before. Of the measured window.",
        ),
        Section(
            f"{prefix}load",
            "Load",
            charts(*load_over_time(run.records, arrivals_end_s, window.start_s, events), max_columns=3),
            "What the schedule asked for, and what the server did.",
        ),
    ]
    if errors is not None:
        sections.append(
            Section(f"{prefix}errors", "Errors", join((charts(errors), _error_table(run.records))))
        )
    sections.append(
        Section(
            f"{prefix}client",
            "The client itself",
            _client(run, end_s),
            "How far the load tester's own lateness could explain what it reports.",
        )
    )
    found = length_figures(counted)
    if found:
        sections.append(Section(f"{prefix}lengths", "Lengths", charts(*found), "Of the measured window."))
    return sections


def _is_in(record: Record, start_s: float, end_s: float) -> bool:
    return start_s * 1e9 <= record.intended_ns < end_s * 1e9


# ---------------------------------------------------------------- figures


def _figures(run: RunLike) -> Html:
    summary = run.summary
    blocks: list[Child] = []
    if not summary.latencies_are_headline:
        words = (
            "A closed loop measures capacity. Its latencies are not what users of an open service would see."
        )
        blocks.append(tag("p", words, class_="lead"))
    blocks.append(figures_tables(summary.overall))
    if len(summary.entries) > 1:
        for name, figures in summary.entries.items():
            blocks += [
                tag("h3", f"{name}: {count(figures.num_requests, 'request')}"),
                figures_tables(figures),
            ]
    blocks.append(_slowest(run))
    return join(blocks)


def figures_tables(figures: Figures) -> Html:
    """Latencies, rates and outcomes of all requests, or of one entry's."""
    blocks: list[Child] = []
    rows = latency_rows(figures)
    if rows:
        blocks.append(_latency_table(rows))
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


def _latency_table(rows: Sequence[LatencyRow]) -> Html:
    head = ("Milliseconds", "", *PERCENTILES, "max", "values", "without")
    body: list[Sequence[Child]] = [
        (
            "" if row.is_beside else row.metric,
            row.basis,
            *map(_percentile, row.cells),
            f"{row.num:,}",
            f"{row.num_without_value:,}",
        )
        for row in rows
    ]
    classes = ["under" if row.is_beside else "" for row in rows]
    lead = tag(
        "p",
        "Percentiles rank requests that should have a value and have none (they are counted at the right) slower "
        f"than all others; where a percentile falls on them it reads \N{LEFT DOUBLE QUOTATION MARK}{FAILED}"
        "\N{RIGHT DOUBLE QUOTATION MARK}. One that too few requests resolve is left empty.",
        class_="note",
    )
    return join((table(head, body, num_left=2, classes=classes), lead))


def _percentile(words: str) -> Child:
    return tag("span", words, class_="chip bad") if words == FAILED else words


def _slowest(run: RunLike) -> Html | None:
    """The requests that a reader looks up in records.jsonl first."""
    ended = [record for record in run.records if record.sent_ns is not None]
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


# ---------------------------------------------------------------- errors, client, definitions


def _error_table(records: Sequence[Record]) -> Html:
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


def _client(run: RunLike, span_s: float) -> Html:
    certification = run.summary.certification
    rows = [
        (one.figure, number(one.value_ms), number(one.dispatch_ms), number(one.lag_ms), share(one.share))
        for one in certification.figures
    ]
    head = ("Milliseconds", "measured", "by late sending", "by a late event loop", "client's share, at most")
    measured = client_values(certification.client)
    notes = [tag("li", note) for note in (*certification.reasons, *certification.notes)]
    return join(
        (
            charts(*client_figures(run.records, run.samples, span_s), max_columns=3),
            tag("div", _client_table(run, measured), class_="pair") if measured else None,
            tag("ul", *notes, class_="notes") if notes else None,
            tag("details", tag("summary", "What the client could explain of each figure"), table(head, rows))
            if rows
            else None,
        )
    )


def _client_table(run: RunLike, measured: Sequence[tuple[str, str]]) -> Html:
    workers = run.summary.certification.client.num_workers
    return table((f"Of {count(workers, 'worker')}, in the measured window", ""), measured)


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
