"""Metrics as Ray's instruments, which its agent on each node exports in Prometheus' format."""

from __future__ import annotations

from typing import Any

from ray.serve.metrics import Gauge
from ray.util.metrics import Counter, Histogram

from serve_app.telemetry.metrics import Metric


class Instruments:
    """The instruments of one replica, made on first use."""

    def __init__(self) -> None:
        self._made: dict[str, Counter | Gauge | Histogram] = {}

    def count(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter; nothing is added for 0, which Ray refuses."""
        instrument = self._get(metric)
        assert isinstance(instrument, Counter)
        if amount > 0:
            instrument.inc(amount, tags=labels)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        instrument = self._get(metric)
        assert isinstance(instrument, Histogram)
        instrument.observe(value, tags=labels)

    def put(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge of this replica, whose name Serve adds to the labels."""
        instrument = self._get(metric)
        assert isinstance(instrument, Gauge)
        instrument.set(value, tags=labels)

    def _get(self, metric: Metric) -> Counter | Gauge | Histogram:
        instrument = self._made.get(metric.name)
        if instrument is None:
            if metric.kind == "counter":
                instrument = Counter(metric.name, description=metric.description, tag_keys=metric.labels)
            elif metric.kind == "gauge":
                # Serve's annotation says one label; it takes any number.
                labels: Any = metric.labels
                instrument = Gauge(metric.name, description=metric.description, tag_keys=labels)
            else:
                instrument = Histogram(
                    metric.name,
                    description=metric.description,
                    boundaries=list(metric.buckets),
                    tag_keys=metric.labels,
                )
            self._made[metric.name] = instrument
        return instrument
