"""How long requests took: over the time of the run, and as percentile curves with the tail stretched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.metrics.base import RequestMetric
from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.e2e_from_send import E2E_FROM_SEND
from benchmarks.metrics.itl import ITL
from benchmarks.metrics.tpot import TPOT
from benchmarks.metrics.ttft import TTFT
from benchmarks.metrics.ttft_from_send import TTFT_FROM_SEND
from benchmarks.records import Record
from benchmarks.report.chart import Chart
from benchmarks.report.marks import Band, Colour, Dots, Level, Line, Mark, Ticks, Upright
from benchmarks.report.markup import Html
from benchmarks.report.scales import Tail, Time, for_latency
from benchmarks.report.timeline import Series, at_quantiles, bins_for, ranked_values, sampled, series_of
from benchmarks.report.wording import count, seconds
from configs.workload import Objectives

TITLES = {
    "ttft": "Time to the first token (ttft)",
    "itl": "Time between pieces of text (itl)",
    "tpot": "Time per further token (tpot)",
    "e2e": "Time to the end of the answer (e2e)",
}
_LINES: tuple[tuple[str, float, Colour], ...] = (
    ("p50", 0.5, "blue"),
    ("p95", 0.95, "orange"),
    ("p99", 0.99, "red"),
)
_CURVES: tuple[tuple[RequestMetric, RequestMetric | None], ...] = (
    (TTFT, TTFT_FROM_SEND),
    (E2E, E2E_FROM_SEND),
    (ITL, None),
    (TPOT, None),
)
CURVE_STEPS = 150
MAX_NINES = 5.0


def over_time(
    records: Sequence[Record],
    span_s: float,
    warm_up_s: float,
    objectives: Objectives,
    events: Mapping[float, str],
) -> list[Html]:
    """A figure for each of ttft, e2e and tpot that the run has."""
    found = [(metric, series_of(metric, records)) for metric in (TTFT, E2E, TPOT)]
    present = [(metric, series) for metric, series in found if len(series.values)]
    return [
        _over_time(
            metric,
            series,
            span_s,
            warm_up_s,
            _limit(metric, objectives),
            events,
            is_wide=number == 0 and len(present) != 2,
        )
        for number, (metric, series) in enumerate(present)
    ]


def _over_time(
    metric: RequestMetric,
    series: Series,
    span_s: float,
    warm_up_s: float,
    limit_ms: float | None,
    events: Mapping[float, str],
    *,
    is_wide: bool,
) -> Html:
    bins = bins_for(span_s, len(series.values))
    lines = bins.quantiles(series, [quantile for _, quantile, _ in _LINES])
    shown = sampled(series, 3000 if is_wide else 1500)
    missing = series.at_s[np.isinf(series.values)]
    marks: list[Mark] = [Dots("each request", "grey", list(series.at_s[shown]), list(series.values[shown]))]
    marks += [
        Line(name, colour, list(bins.centres), list(line))
        for (name, _, colour), line in zip(_LINES, lines, strict=True)
    ]
    if len(missing):
        marks.append(Ticks("never had one", "pink", list(missing)))
    return Chart(
        title=TITLES[metric.name],
        x=Time(0.0, max(span_s, 1.0)),
        y=for_latency([*series.values[shown], *([] if limit_ms is None else [limit_ms])]),
        x_title="intended arrival",
        y_unit=metric.unit,
        marks=marks,
        note=_note(series, len(shown), bins.width_s),
        bands=[Band(0.0, warm_up_s, "warm-up, not in the figures")] if warm_up_s > 0 else (),
        uprights=[Upright(at_s, text) for at_s, text in events.items()],
        levels=[] if limit_ms is None else [Level(limit_ms, f"objective {limit_ms:g} ms")],
        hover=[
            (centre, f"{seconds(start)} to {seconds(end)}")
            for centre, start, end in zip(bins.centres, bins.edges, bins.edges[1:], strict=False)
        ],
        is_wide=is_wide,
    ).draw()


def _note(series: Series, num_shown: int, width_s: float) -> str:
    num_known = len(series.values) - series.num_missing
    parts = [f"{count(num_shown, 'dot')}, one for each request"]
    if num_shown < num_known:
        parts = [f"{num_shown:,} of {num_known:,} requests as dots, most of the slowest 1 % among them"]
    parts.append(f"lines from all requests that arrived in the same {seconds(width_s)}")
    if series.num_missing:
        parts.append(f"{series.num_missing:,} failed before it and rank slower than all")
        parts.append("a line breaks where it falls on them")
    return f"{'; '.join(parts)}."


def _limit(metric: RequestMetric, objectives: Objectives) -> float | None:
    return {"ttft": objectives.ttft_ms, "tpot": objectives.tpot_ms, "e2e": objectives.e2e_ms}.get(metric.name)


# ---------------------------------------------------------------- percentile curves


def percentile_curves(records: Sequence[Record], objectives: Objectives) -> list[Html]:
    """A figure for each metric that the run has; the records are those of the measured window."""
    figures = []
    for metric, from_send in _CURVES:
        ranked = ranked_values(metric, records)
        if not np.isfinite(ranked).any():
            continue
        curves: list[tuple[str, Colour, np.ndarray[tuple[int], np.dtype[np.float64]], bool]] = []
        if from_send is None:
            curves.append((metric.name, "blue", ranked, False))
        else:
            curves.append(("from the intended arrival", "blue", ranked, False))
            curves.append(("from sending", "orange", ranked_values(from_send, records), True))
        figures.append(curve_figure(TITLES[metric.name], metric.unit, curves, _limit(metric, objectives)))
    return figures


def curve_figure(
    title: str,
    unit: str,
    curves: Sequence[tuple[str, Colour, np.ndarray[tuple[int], np.dtype[np.float64]], bool]],
    limit: float | None = None,
) -> Html:
    """Value by percentile.

    Args:
        curves: (name, colour, ranked values with infinities for missing ones, whether it is dashed).
    """
    num_nines = min(MAX_NINES, max(1.0, math.log10(max(len(ranked) for _, _, ranked, _ in curves))))
    quantiles = 1.0 - 10.0 ** -np.linspace(0.0, num_nines, CURVE_STEPS + 1)
    ys = [at_quantiles(ranked, quantiles) for _, _, ranked, _ in curves]
    finite = [float(y) for line in ys for y in line if math.isfinite(y)]
    num_missing = max(int(np.isinf(ranked).sum()) for _, _, ranked, _ in curves)
    return Chart(
        title=title,
        x=Tail(num_nines),
        y=for_latency([*finite, *([] if limit is None else [limit])]),
        x_title="percentile",
        y_unit=unit,
        marks=[
            Line(name, colour, list(quantiles), list(line), is_dashed=is_dashed, is_bold=len(curves) > 1)
            for (name, colour, _, is_dashed), line in zip(curves, ys, strict=True)
        ],
        note=f"The curve ends where failures begin: {num_missing:,} have no value." if num_missing else "",
        levels=[] if limit is None else [Level(limit, f"objective {limit:g} {unit}")],
        hover=[(quantile, _percentile_name(quantile)) for quantile in quantiles],
    ).draw()


def _percentile_name(quantile: float) -> str:
    """ "p98.6", "p99.985": a decimal for each nine."""
    num_nines = math.floor(-math.log10(1.0 - quantile) + 1e-9)
    return f"p{quantile * 100:.{num_nines}f}"
