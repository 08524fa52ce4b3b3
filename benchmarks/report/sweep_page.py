"""The page of a sweep: what the server gives at each rate, where it stops keeping up, where it stops being good."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.report.chart import Chart
from benchmarks.report.frame import Section, charts, chip, page, table
from benchmarks.report.inputs import SweepPoint, SweepReport
from benchmarks.report.judgements import Judgement
from benchmarks.report.marks import Colour, Level, Line, Mark, Upright
from benchmarks.report.markup import Child, Html, join, tag
from benchmarks.report.run_page import verdicts
from benchmarks.report.scales import Scale, for_latency, from_zero
from benchmarks.report.what_was_run import meta, what_was_run
from benchmarks.report.wording import NOTHING, count, figure, number, share

_PERCENTILES: tuple[tuple[str, Colour], ...] = (("p50", "blue"), ("p95", "orange"), ("p99", "red"))
_TITLES = {
    "ttft": "Time to the first token (ttft)",
    "itl": "Time between pieces of text (itl)",
    "tpot": "Time per further token (tpot)",
    "e2e": "Time to the end of the answer (e2e)",
}


def render_sweep(sweep: SweepReport) -> str:
    """The whole file."""
    points = sorted(sweep.points, key=lambda point: point.offered_rps)
    return page(
        title=sweep.title,
        kicker="Load test: sweep over rates",
        meta=meta(sweep.workload, sweep.settings)[:2],
        top=verdicts(_judgements(sweep, points)),
        sections=[
            *(_sections(sweep, points) if points else ()),
            Section("what", "What was run", what_was_run(sweep.workload, sweep.settings, "sweep")),
        ],
    )


def _sections(sweep: SweepReport, points: Sequence[SweepPoint]) -> list[Section]:
    return [
        Section("rates", "Rate by rate", _table(sweep, points)),
        Section(
            "curves",
            "Throughput and latency",
            charts(_throughput(sweep, points), *_against_throughput(sweep, points)),
            "Each point is one run. Latencies right of the knee depend on how long it was: the queue grows.",
        ),
        Section("latency", "Latency by offered rate", charts(*_by_rate(sweep, points), max_columns=3)),
    ]


def _judgements(sweep: SweepReport, points: Sequence[SweepPoint]) -> list[Judgement]:
    if sweep.knee_rps is None:
        found = [Judgement("warn", "Capacity not found", (sweep.stopped_because,))]
    else:
        found = [_capacity(sweep, points, sweep.knee_rps)]
    if any(point.attainment is not None for point in points):
        if sweep.best_rps is None:
            found.append(Judgement("bad", "Objectives met at no rate", (f"{_needed(sweep)}.",)))
        else:
            words = f"Objectives met up to {sweep.best_rps:g} requests/s"
            found.append(
                Judgement("good", words, (f"The highest offered rate at which they are: {_needed(sweep)}.",))
            )
    invalid = [point for point in points if point.problems]
    if invalid:
        reasons = tuple(f"{point.offered_rps:g} requests/s: {'; '.join(point.problems)}" for point in invalid)
        found.append(Judgement("bad", f"{count(len(invalid), 'point')} not valid", reasons))
    else:
        found.append(
            Judgement("good", "All points valid", (f"{count(len(points), 'run')}, none of them doubtful.",))
        )
    return found


def _capacity(sweep: SweepReport, points: Sequence[SweepPoint], knee_rps: float) -> Judgement:
    at_knee = [point for point in points if point.offered_rps == knee_rps and not point.problems]
    untold = [point.saturation for point in at_knee if point.is_saturated is None]
    if untold and not any(point.is_saturated is False for point in at_knee):
        why = f"Nothing up to it shows the contrary, and its run was too short to tell: {untold[0]}."
        return Judgement("warn", f"May keep up with {knee_rps:g} requests/s", (why, sweep.stopped_because))
    why = "The highest offered rate that the server sustained."
    return Judgement("good", f"Keeps up with {knee_rps:g} requests/s", (why, sweep.stopped_because))


def _needed(sweep: SweepReport) -> str:
    limits = _limits(sweep)
    words = ", ".join(f"{name} at most {limit:g} ms" for name, limit in limits.items())
    return f"{words}, for {sweep.workload.objectives.attainment * 100:g} % of the requests"


def _limits(sweep: SweepReport) -> dict[str, float]:
    objectives = sweep.workload.objectives
    pairs = (("ttft", objectives.ttft_ms), ("tpot", objectives.tpot_ms), ("e2e", objectives.e2e_ms))
    return {name: limit for name, limit in pairs if limit is not None}


# ---------------------------------------------------------------- table


def _table(sweep: SweepReport, points: Sequence[SweepPoint]) -> Html:
    metrics = [name for name in _TITLES if any(name in point.latencies_ms for point in points)]
    head = (
        "Offered/s",
        "",
        "answered/s",
        "goodput/s",
        "objectives met",
        *(f"{metric} p95 (p50)" for metric in metrics),
        "requests",
        "failed",
    )
    rows: list[Sequence[Child]] = [
        (
            _rate(point),
            _state(point),
            number(point.throughput_rps),
            number(point.goodput_rps),
            share(point.attainment),
            *(_latency(point, metric) for metric in metrics),
            f"{point.num_requests:,}",
            f"{point.num_errors:,}",
        )
        for point in points
    ]
    marked = {sweep.knee_rps, sweep.best_rps} - {None}
    classes = ["marked" if point.offered_rps in marked else "" for point in points]
    note = (
        "Rates in requests a second, latencies in milliseconds. Where a percentile "
        f"reads {NOTHING}, it falls on requests that failed, or too few resolve it."
    )
    return join((table(head, rows, num_left=2, classes=classes), tag("p", note, class_="note")))


def _latency(point: SweepPoint, metric: str) -> Html:
    found = point.latencies_ms.get(metric, {})
    return join((number(found.get("p95")), tag("small", f" ({number(found.get('p50'))})")))


def _rate(point: SweepPoint) -> Child:
    words = f"{point.offered_rps:g}"
    return tag("a", words, href=point.link) if point.link and _is_relative(point.link) else words


def _is_relative(link: str) -> bool:
    """Links lead to files beside this one and nowhere else."""
    return ":" not in link and not link.startswith(("/", "\\"))


def _state(point: SweepPoint) -> Html:
    if point.problems:
        return chip("not valid", "bad")
    if point.is_saturated is None:
        return chip("not judged", "none")
    return chip("fell behind", "warn") if point.is_saturated else chip("kept up", "good")


# ---------------------------------------------------------------- plots


def _throughput(sweep: SweepReport, points: Sequence[SweepPoint]) -> Html:
    rates = [point.offered_rps for point in points]
    answered = [_known(point.throughput_rps) for point in points]
    goodput = [_known(point.goodput_rps) for point in points]
    marks: list[Mark] = [
        Line("as offered", "grey", [0.0, rates[-1]], [0.0, rates[-1]], is_dashed=True),
        Line("answered", "blue", rates, answered, has_points=True),
    ]
    if any(map(math.isfinite, goodput)):
        marks.append(Line("goodput", "green", rates, goodput, has_points=True))
    return Chart(
        title="Throughput",
        x=from_zero(rates[-1]),
        y=from_zero(max([rates[-1], *(value for value in (*answered, *goodput) if math.isfinite(value))])),
        x_title="offered, requests/s",
        y_unit="requests/s",
        marks=marks,
        uprights=_signs(sweep),
    ).draw()


def _against_throughput(sweep: SweepReport, points: Sequence[SweepPoint]) -> list[Html]:
    """Latency against what was answered: the curve that turns upwards where the server is full."""
    measured = [point for point in points if point.throughput_rps is not None]
    if not measured:
        return []
    throughput = [_known(point.throughput_rps) for point in measured]
    metric = next((name for name in _TITLES if any(name in point.latencies_ms for point in measured)), None)
    if metric is None:
        return []
    return [
        _latency_chart(
            f"{metric} against throughput",
            metric,
            measured,
            throughput,
            "answered, requests/s",
            from_zero(max(throughput)),
            _limits(sweep).get(metric),
            [],
        )
    ]


def _by_rate(sweep: SweepReport, points: Sequence[SweepPoint]) -> list[Html]:
    rates = [point.offered_rps for point in points]
    return [
        _latency_chart(
            title,
            metric,
            points,
            rates,
            "offered, requests/s",
            from_zero(rates[-1]),
            _limits(sweep).get(metric),
            _signs(sweep),
        )
        for metric, title in _TITLES.items()
        if any(metric in point.latencies_ms for point in points)
    ]


def _latency_chart(
    title: str,
    metric: str,
    points: Sequence[SweepPoint],
    xs: Sequence[float],
    x_title: str,
    x: Scale,
    limit: float | None,
    signs: Sequence[Upright],
) -> Html:
    lines = [
        Line(name, colour, xs, [_known(point.latencies_ms.get(metric, {}).get(name)) for point in points],
             has_points=True)
        for name, colour in _PERCENTILES
    ]  # fmt: skip
    known = [y for line in lines for y in line.ys if math.isfinite(y)]
    return Chart(
        title=title,
        x=x,
        y=for_latency([*known, *([] if limit is None else [limit])]),
        x_title=x_title,
        y_unit="ms",
        marks=lines,
        uprights=signs,
        levels=[] if limit is None else [Level(limit, f"objective {limit:g} ms")],
        hover=[
            (at, f"{point.offered_rps:g} offered, {figure(point.throughput_rps)} answered/s")
            for at, point in zip(xs, points, strict=True)
        ],
    ).draw()


def _signs(sweep: SweepReport) -> list[Upright]:
    signs = []
    if sweep.best_rps is not None:
        signs.append(Upright(sweep.best_rps, f"objectives met up to {sweep.best_rps:g}"))
    if sweep.knee_rps is not None:
        signs.append(Upright(sweep.knee_rps, f"knee {sweep.knee_rps:g}"))
    return signs


def _known(value: float | None) -> float:
    return math.nan if value is None else value
