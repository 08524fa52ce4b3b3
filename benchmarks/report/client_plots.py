"""How the client itself did: whether it sent in time, and whether it had the processor to do so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.metrics.dispatch_delay import DISPATCH_DELAY
from benchmarks.records import ClientSample, Record
from benchmarks.report.chart import Chart
from benchmarks.report.marks import Level, Line, Mark
from benchmarks.report.markup import Html
from benchmarks.report.scales import Time, for_latency, from_zero
from benchmarks.report.timeline import Bins, Floats, bins_for, series_of
from benchmarks.report.wording import seconds


def client_figures(records: Sequence[Record], samples: Sequence[ClientSample], span_s: float) -> list[Html]:
    """Dispatch delay, lag of the event loops, processor time."""
    bins = bins_for(span_s)
    delay = _dispatch_delay(records, bins)
    if not samples:
        return [figure for figure in (delay,) if figure is not None]
    # A sample is of the second that ends at its time.
    places = np.array([max(sample.at_s - 0.5, 0.0) for sample in samples])
    bin_of = np.clip((places / bins.width_s).astype(np.int64), 0, len(bins.edges) - 2)
    known = (delay, _lag(samples, bin_of, bins), _cpu(samples, bin_of, bins))
    return [figure for figure in known if figure is not None]


def _dispatch_delay(records: Sequence[Record], bins: Bins) -> Html | None:
    series = series_of(DISPATCH_DELAY, records)
    if not len(series.values):
        return None
    median, high, highest = bins.quantiles(series, (0.5, 0.99, 1.0))
    marks: list[Mark] = [
        Line("largest", "grey", list(bins.centres), list(highest)),
        Line("p99", "red", list(bins.centres), list(high)),
        Line("p50", "blue", list(bins.centres), list(median)),
    ]
    return _figure(
        "Dispatch delay",
        "ms",
        marks,
        bins,
        "How late requests were handed to the socket, against the schedule.",
    )


def _lag(
    samples: Sequence[ClientSample], bin_of: np.ndarray[tuple[int], np.dtype[np.int64]], bins: Bins
) -> Html:
    centres = list(bins.centres)
    marks: list[Mark] = [
        Line("largest", "grey", centres, _worst(samples, bin_of, bins, lambda sample: sample.lag_max_ms)),
        Line("p99", "red", centres, _worst(samples, bin_of, bins, lambda sample: sample.lag_p99_ms)),
        Line("p50", "blue", centres, _worst(samples, bin_of, bins, lambda sample: sample.lag_p50_ms)),
    ]
    note = "How late a timer of the client's event loop rang; the worst of its worker processes."
    return _figure("Event-loop lag", "ms", marks, bins, note)


def _cpu(
    samples: Sequence[ClientSample], bin_of: np.ndarray[tuple[int], np.dtype[np.int64]], bins: Bins
) -> Html:
    centres = list(bins.centres)
    marks: list[Mark] = [
        Line("busiest worker", "blue", centres, _worst(samples, bin_of, bins, lambda sample: sample.cpu)),
    ]
    waits = _worst(
        samples, bin_of, bins, lambda sample: math.nan if sample.cpu_wait is None else sample.cpu_wait
    )
    if any(math.isfinite(wait) for wait in waits):
        marks.append(Line("longest wait for a core", "orange", centres, waits, is_dashed=True))
    return Chart(
        title="Processor time of the client",
        x=Time(0.0, float(bins.edges[-1])),
        y=from_zero(1.0),
        x_title="time in the run",
        y_unit="share of a core",
        marks=marks,
        note="A worker is one process on at most one core: at 1.0 it can do no more.",
        levels=[Level(1.0, "one core")],
        hover=_hover(bins),
    ).draw()


def _figure(title: str, unit: str, marks: Sequence[Mark], bins: Bins, note: str) -> Html:
    ys = [y for mark in marks if isinstance(mark, Line) for y in mark.ys if math.isfinite(y)]
    return Chart(
        title=title,
        x=Time(0.0, float(bins.edges[-1])),
        y=for_latency(ys),
        x_title="time in the run",
        y_unit=unit,
        marks=marks,
        note=note,
        hover=_hover(bins),
    ).draw()


def _hover(bins: Bins) -> list[tuple[float, str]]:
    return [
        (centre, f"{seconds(start)} to {seconds(end)}")
        for centre, start, end in zip(bins.centres, bins.edges, bins.edges[1:], strict=False)
    ]


def _worst(
    samples: Sequence[ClientSample],
    bin_of: np.ndarray[tuple[int], np.dtype[np.int64]],
    bins: Bins,
    value: Callable[[ClientSample], float],
) -> list[float]:
    """The largest value of all workers in each bin; NaN where there is none."""
    worst: Floats = np.full(len(bins.edges) - 1, math.nan)
    np.fmax.at(worst, bin_of, np.array([value(sample) for sample in samples]))
    return [float(one) for one in worst]
