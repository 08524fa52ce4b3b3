"""The page of one run: an engineer who gets only this file knows what was run, whether it may be believed,
and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.records import Record
from benchmarks.report.client_plots import client_figures
from benchmarks.report.frame import Section, charts, page
from benchmarks.report.headline import tiles
from benchmarks.report.inputs import RunLike
from benchmarks.report.judgements import SYMBOLS, Judgement, judgements
from benchmarks.report.latency_plots import over_time, percentile_curves
from benchmarks.report.length_plots import length_figures
from benchmarks.report.load_plots import errors_over_time, last_end_s, load_over_time
from benchmarks.report.markup import Child, Html, join, tag
from benchmarks.report.run_tables import (
    DEFINITIONS_LEAD,
    client_tables,
    definitions,
    doubtful_figures,
    error_table,
    figures_tables,
    slowest_table,
)
from benchmarks.report.what_was_run import meta, what_was_run
from benchmarks.report.wording import count


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
    client = charts(*client_figures(run.records, run.samples, end_s), max_columns=3)
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
            Section(f"{prefix}errors", "Errors", join((charts(errors), error_table(run.records))))
        )
    sections.append(
        Section(
            f"{prefix}client",
            "The client itself",
            join((client, client_tables(run.summary.certification))),
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
    is_mix = len(summary.entries) > 1
    doubtful = frozenset[str]() if is_mix else doubtful_figures(summary.certification)
    blocks: list[Child] = [figures_tables(summary.overall, doubtful)]
    if is_mix:
        for name, figures in summary.entries.items():
            blocks += [
                tag("h3", f"{name}: {count(figures.num_requests, 'request')}"),
                figures_tables(figures, doubtful_figures(summary.certification, name)),
            ]
    blocks.append(slowest_table(run.records))
    return join(blocks)
