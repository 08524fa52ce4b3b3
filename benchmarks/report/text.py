"""The headline of a run for a terminal and for a README: the same verdicts and figures as on its page."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.report.headline import (
    FAILED,
    PERCENTILES,
    LatencyRow,
    latency_rows,
    outcome_rows,
    run_values,
)
from benchmarks.report.inputs import RunLike
from benchmarks.report.judgements import SYMBOLS, Judgement, judgements
from benchmarks.report.what_was_run import meta
from benchmarks.report.wording import figure, number, share
from benchmarks.summary.certification import ClientFigures

_STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "none": "dim"}
_NARROW = {"from intended arrival": "", "between pieces": "", "mean of a request": ""}


def headline_table(run: RunLike) -> RenderableType:
    """For rich: verdicts, latencies, rates, outcomes."""
    parts: list[RenderableType] = [
        Text(" ".join((run.workload.name, *meta(run.workload, run.settings)[:1])), "bold")
    ]
    parts += [_verdicts(judgements(run)), Text()]
    rows = latency_rows(run.summary.overall)
    if rows:
        parts += [_latencies(rows), Text()]
    parts.append(_pairs(run))
    return Group(*parts)


def markdown(run: RunLike) -> str:
    """For a README: a line of verdicts and one table, with units; percentiles from the intended arrival."""
    figures = run.summary.overall
    verdicts = "; ".join(judgement.words.lower() for judgement in judgements(run))
    lines = [
        f"**{_cell(run.workload.name)}**: {' · '.join(map(_cell, meta(run.workload, run.settings)))}.",
        "",
    ]
    lines += [f"{verdicts.capitalize()}.", ""]
    rows = latency_rows(figures)
    if rows:
        lines += _markdown_table(
            ["", *PERCENTILES, "max", "without a value"],
            [
                [f"{row.metric}, {row.unit}{f' ({row.basis})' if row.is_beside else ''}", *row.cells,
                 f"{row.num_without_value:,}"]
                for row in rows
            ],
        )  # fmt: skip
        lines.append("")
    values = [*run_values(figures), ("Requests", f"{figures.num_requests:,}")]
    lines += _markdown_table(["", ""], [[name, value] for name, value in values])
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- terminal


def _verdicts(found: Sequence[Judgement]) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(no_wrap=True)
    grid.add_column(style="dim", overflow="fold")
    for judgement in found:
        style = _STYLES[judgement.tone]
        words = Text(judgement.words, style)
        between = "\n" if judgement.tone == "bad" else " "
        grid.add_row(Text(SYMBOLS[judgement.tone], style), words, Text(between.join(judgement.reasons)))
    return grid


def _latencies(rows: Sequence[LatencyRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("ms")
    table.add_column("", style="dim")
    for name in (*PERCENTILES, "max", "without"):
        table.add_column(name, justify="right")
    for row in rows:
        style = "dim" if row.is_beside else "bold"
        cells = [Text(words, "red" if words == FAILED else style) for words in row.cells]
        name = "" if row.is_beside else row.metric
        without = f"{row.num_without_value:,}" if row.num_without_value else ""
        table.add_row(Text(name, "bold"), _NARROW.get(row.basis, row.basis), *cells, Text(without, style))
    return table


def _pairs(run: RunLike) -> Table:
    figures = run.summary.overall
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", overflow="fold")
    grid.add_column(overflow="fold")
    for name, value in run_values(figures):
        grid.add_row(name, value)
    outcomes = ", ".join(f"{num:,} {words}" for words, num, _ in outcome_rows(figures))
    grid.add_row("Requests", outcomes or "none")
    grid.add_row("Client", _client(run.summary.certification.client))
    return grid


def _client(client: ClientFigures) -> str:
    if not client.num_workers:
        return "none was watched"
    dispatch = (
        f"sent {number(client.dispatch_p50_ms)} (p50) to {figure(client.dispatch_p99_ms, 'ms')} (p99) late"
    )
    lag = f"event loop {number(client.lag_p99_ms)} (p99) to {figure(client.lag_max_ms, 'ms')} (worst) late"
    return f"{dispatch}; {lag}; CPU at most {share(client.cpu_max)} of a core"


# ---------------------------------------------------------------- Markdown


def _markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(map(_cell, row))} |" for row in (head, rule, *rows)]


def _cell(words: str) -> str:
    """A text that cannot end its cell, or begin markup."""
    flat = " ".join(words.split())
    for character in "\\|`*_<[":
        flat = flat.replace(character, f"\\{character}")
    return flat
