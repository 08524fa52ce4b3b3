"""What a run comes to: every figure of it, made from its raw records alone, as plain data.

Figures are of the measured window (`window`), overall and for each entry of the mix. Knows nothing of folders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from benchmarks.metrics.base import Window
from benchmarks.metrics.goodput import ATTAINMENT, GOODPUT
from benchmarks.metrics.objectives import limits_of
from benchmarks.records import ClientSample, Record
from benchmarks.statistics.saturation import Saturation, saturation_of_records
from benchmarks.summary.certification import Certification, certify
from benchmarks.summary.figures import Figures, Part, measured_metrics
from benchmarks.summary.window import MeasuredWindow, has_steady_arrivals, measured_window
from configs.workload import Objectives, Workload


@dataclass(frozen=True, slots=True)
class ObjectivesResult:
    """Whether the run was good enough: enough of its requests met every objective."""

    limits_ms: dict[str, float]  # metric -> at most
    required_attainment: float
    attainment: float | None
    goodput_rps: float | None
    is_met: bool | None  # None: no request could be judged


@dataclass(frozen=True, slots=True)
class Summary:
    """A run's figures.

    Args:
        latencies_are_headline: False for a closed loop, whose latencies are not what users see.
        objectives: None where the workload has none.
        histograms: metric -> overall values in HdrHistogram's text form, to be merged with those of other runs.
    """

    window: MeasuredWindow
    latencies_are_headline: bool
    overall: Figures
    entries: dict[str, Figures]
    objectives: ObjectivesResult | None
    saturation: Saturation
    certification: Certification
    histograms: dict[str, str]

    @property
    def objectives_met(self) -> bool | None:
        """None: there are none, or nothing could be judged."""
        return None if self.objectives is None else self.objectives.is_met

    def percentile(self, metric: str, name: str, entry: str | None = None) -> float | None:
        """One percentile ("ttft", "p99"), overall or of an entry of the mix; None where it is not defined."""
        figures = self.overall if entry is None else self.entries[entry]
        distribution = figures.of_requests.get(metric)
        return None if distribution is None else distribution.percentiles.get(name)

    def value(self, metric: str, entry: str | None = None) -> float | None:
        """One metric of the run ("goodput"), overall or of an entry; None where it is not defined."""
        figures = self.overall if entry is None else self.entries[entry]
        return figures.of_run[metric].value

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Summary:
        """Back from `to_json`.

        Raises:
            msgspec.ValidationError: it is no summary.
        """
        return msgspec.convert(document, cls)


def summarise(
    records: Sequence[Record],
    samples: Sequence[ClientSample] | None,
    workload: Workload,
    *,
    arrivals_end_s: float,
    is_closed_loop: bool,
    faults: Sequence[str] = (),
) -> Summary:
    """Every figure of a run.

    Args:
        samples: of the client while it ran; None: the run was simulated.
        arrivals_end_s: requests arrived in [0, arrivals_end_s); earlier than planned if the run was stopped.
        faults: what went wrong with workers, a line each.

    Raises:
        BenchmarkError: records contradict themselves, such as a token before its request.
    """
    measured = measured_window(records, workload, arrivals_end_s)
    window = _window(records, measured, workload)
    metrics = measured_metrics(records)
    labels = dict.fromkeys([request.label for request in workload.requests] + [r.entry for r in records])
    parts = {label: Part(_of_entry(window, label), metrics) for label in labels}
    entries = {label: part.figures() for label, part in parts.items()}
    merged = Part.merged(window, list(parts.values()), metrics)
    # With one entry all is its own; half the work is enough.
    overall = merged.figures() if len(entries) > 1 else next(iter(entries.values()))
    return Summary(
        window=measured,
        latencies_are_headline=not is_closed_loop,
        overall=overall,
        entries=entries,
        objectives=_objectives(workload.objectives, overall),
        saturation=_saturation(records, workload, measured.end_s, is_closed_loop=is_closed_loop),
        certification=certify(
            records,
            samples,
            start_s=measured.start_s,
            end_s=measured.end_s,
            is_closed_loop=is_closed_loop,
            faults=faults,
        ),
        histograms=merged.encoded(),
    )


def _window(records: Sequence[Record], measured: MeasuredWindow, workload: Workload) -> Window:
    window = Window((), measured.start_s, measured.end_s, records, workload.objectives)
    return replace(window, records=[record for record in records if window.holds(record.intended_ns)])


def _of_entry(window: Window, entry: str) -> Window:
    return replace(
        window,
        records=[record for record in window.records if record.entry == entry],
        all_records=[record for record in window.all_records if record.entry == entry],
    )


def _objectives(wanted: Objectives, overall: Figures) -> ObjectivesResult | None:
    limits = limits_of(wanted)
    if not limits:
        return None
    attainment = overall.of_run[ATTAINMENT.name].value
    return ObjectivesResult(
        limits_ms={metric.name: limit_ms for metric, limit_ms in limits},
        required_attainment=wanted.attainment,
        attainment=attainment,
        goodput_rps=overall.of_run[GOODPUT.name].value,
        is_met=None if attainment is None else attainment >= wanted.attainment,
    )


def _saturation(
    records: Sequence[Record], workload: Workload, end_s: float, *, is_closed_loop: bool
) -> Saturation:
    if is_closed_loop:
        return Saturation(None, "a closed loop asks only as fast as it is answered")
    if not has_steady_arrivals(workload):
        return Saturation(None, f"the arrivals ({workload.arrivals.process}) change over time")
    return saturation_of_records(records, end_s)
