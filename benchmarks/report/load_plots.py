"""What was asked and what came back: throughput, requests in flight, errors, lengths."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.metrics.asked import is_error
from benchmarks.records import Outcome, Record
from benchmarks.report.chart import Chart
from benchmarks.report.judgements import OUTCOME_WORDS
from benchmarks.report.marks import Band, Bars, Colour, Line, Mark, Upright
from benchmarks.report.markup import Html
from benchmarks.report.scales import Time, from_zero
from benchmarks.report.timeline import Bins, Floats, bins_for, in_flight, tokens_by_bin
from benchmarks.report.wording import seconds

ERROR_COLOURS: tuple[Colour, ...] = ("red", "orange", "pink", "sky", "yellow", "green", "blue")


def last_end_s(records: Sequence[Record], arrivals_end_s: float) -> float:
    """When the last answer ended, or arrivals did."""
    return max([arrivals_end_s, *(record.end_ns / 1e9 for record in records)])


def load_over_time(
    records: Sequence[Record], arrivals_end_s: float, warm_up_s: float, events: Mapping[float, str]
) -> list[Html]:
    """Requests a second, requests in flight and, for streams, tokens a second."""
    end_s = last_end_s(records, arrivals_end_s)
    bins = bins_for(end_s)
    frame = _Frame(bins, arrivals_end_s, warm_up_s, events)
    intended_s, ends_s = _seconds(record.intended_ns for record in records), _ends(records, Outcome.OK)
    sent = [record for record in records if record.sent_ns is not None]
    sent_s = _seconds(record.sent_ns for record in sent if record.sent_ns is not None)
    rates: list[Mark] = [
        Line(
            "offered", "ink", list(bins.centres), list(bins.rates(intended_s, arrivals_end_s)), is_dashed=True
        ),
        Line("answered", "blue", list(bins.centres), list(bins.rates(ends_s, end_s))),
    ]
    failed_s = _seconds(record.end_ns for record in records if is_error(record))
    if len(failed_s):
        failed = list(bins.rates(failed_s, end_s))
        rates.append(Line("failed", "red", list(bins.centres), failed))
    all_ends_s = _seconds(record.end_ns for record in records)
    flying = in_flight(sent_s, _seconds(record.end_ns for record in sent), bins.edges)
    waiting = in_flight(intended_s, all_ends_s, bins.edges)
    flights: list[Mark] = [
        Line("sent and not ended", "blue", list(bins.edges), list(flying), is_bold=True),
        Line("due and not ended", "orange", list(bins.edges), list(waiting), is_dashed=True),
    ]
    figures = [
        frame.draw(
            "Throughput", "requests/s", rates, f"Per {seconds(bins.width_s)}; answers by when they ended."
        ),
        frame.draw(
            "Requests in flight",
            "requests",
            flights,
            "Where the two part, requests waited inside the client or for a connection.",
            at_edges=True,
        ),
    ]
    if any(record.num_pieces for record in records):
        tokens: list[Mark] = [
            Line("tokens", "green", list(bins.centres), list(tokens_by_bin(records, bins) / bins.width_s))
        ]
        note = (
            "Non-empty pieces of text by the client's count, each answer's spread between its first and last."
        )
        figures.append(frame.draw("Text received", "pieces/s", tokens, note))
    return figures


def errors_over_time(
    records: Sequence[Record], arrivals_end_s: float, warm_up_s: float, events: Mapping[float, str]
) -> Html | None:
    """Failed requests by kind, stacked; None when there are none."""
    kinds = Counter(record.outcome for record in records if is_error(record))
    if not kinds:
        return None
    bins = bins_for(last_end_s(records, arrivals_end_s))
    floor = np.zeros(len(bins.edges) - 1)
    marks: list[Mark] = []
    for number, (kind, num) in enumerate(kinds.most_common()):
        heights = bins.counts(_ends(records, kind))
        colour = ERROR_COLOURS[number % len(ERROR_COLOURS)]
        marks.append(
            Bars(f"{OUTCOME_WORDS[kind]} ({num:,})", colour, list(bins.edges), list(heights), list(floor))
        )
        floor = floor + heights
    return Chart(
        title="Errors over time",
        x=Time(0.0, float(bins.edges[-1])),
        y=from_zero(float(floor.max())),
        x_title="when they ended",
        y_unit=f"per {seconds(bins.width_s)}",
        marks=marks,
        bands=_warm_up(warm_up_s),
        uprights=[Upright(at_s, text) for at_s, text in events.items()],
        is_wide=True,
    ).draw()


class _Frame:
    """What the plots over the whole run have in common."""

    def __init__(
        self, bins: Bins, arrivals_end_s: float, warm_up_s: float, events: Mapping[float, str]
    ) -> None:
        self._bins = bins
        self._bands = _warm_up(warm_up_s)
        span_s = float(bins.edges[-1])
        self._uprights = [Upright(at_s, text) for at_s, text in events.items()]
        if arrivals_end_s < span_s * 0.98:
            self._uprights.append(Upright(arrivals_end_s, "last arrival"))

    def draw(
        self, title: str, unit: str, marks: Sequence[Mark], note: str, *, at_edges: bool = False
    ) -> Html:
        edges, lines = self._bins.edges, [mark for mark in marks if isinstance(mark, Line)]
        highest = max((y for line in lines for y in line.ys if math.isfinite(y)), default=1.0)
        if at_edges:
            hover = [(edge, f"after {seconds(edge)}") for edge in edges]
        else:
            hover = [
                (centre, f"{seconds(start)} to {seconds(end)}")
                for centre, start, end in zip(self._bins.centres, edges, edges[1:], strict=False)
            ]
        return Chart(
            title=title,
            x=Time(0.0, float(edges[-1])),
            y=from_zero(highest),
            x_title="time in the run",
            y_unit=unit,
            marks=marks,
            note=note,
            bands=self._bands,
            uprights=self._uprights,
            hover=hover,
        ).draw()


def _warm_up(warm_up_s: float) -> list[Band]:
    return [Band(0.0, warm_up_s, "warm-up")] if warm_up_s > 0 else []


def _ends(records: Sequence[Record], outcome: Outcome) -> Floats:
    return _seconds(record.end_ns for record in records if record.outcome is outcome)


def _seconds(times_ns: Iterable[int]) -> Floats:
    return np.fromiter(times_ns, dtype=np.float64) / 1e9
