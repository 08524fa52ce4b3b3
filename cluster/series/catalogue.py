"""Every series by the name under which Prometheus reads it: its kind, its labels, and whether it is always there.

The application's own are made from `serve_app.telemetry.metrics`; Ray's and vLLM's from what `list_series` found in
their source. Dashboards, alerts and scalers that name another series would show nothing and say nothing about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from serve_app.telemetry.metrics import ALL, Metric

Kind = Literal["counter", "gauge", "histogram"]
Owner = Literal["manta", "ray", "vllm"]

# Ray's exporter adds these to what a process of Ray's exports (opencensus and OpenTelemetry alike).
_RAYS_LABELS = frozenset({"Component", "JobId", "NodeAddress", "SessionName", "Version", "WorkerId"})
_SERVES_LABELS = frozenset({"application", "deployment", "replica"})
# Gauges that Serve only sets at a deploy: Ray forgets a gauge 20 s after it was set, so a query finds nothing.
_NOT_STEADY = frozenset({"ray_serve_autoscaling_target_replicas"})


@dataclass(frozen=True, slots=True)
class Series:
    """What can be asked for."""

    name: str
    kind: Kind
    owner: Owner
    labels: frozenset[str] | None  # besides those that the scrape adds; None: not known
    is_steady: bool = True  # there while its process lives


def exported(metric: Metric) -> str:
    """The application's metric as Prometheus has it; of a histogram the stem of its three."""
    return f"ray_{metric.name}"


@cache
def catalogue() -> dict[str, Series]:
    """Name -> series."""
    found = {one.name: one for one in (*_own(), *_rays(), *_vllms())}
    return dict(sorted(found.items()))


def versions() -> dict[str, str]:
    """Of the Ray and the vLLM whose series these are."""
    return {"ray": _document("ray")["version"], "vllm": _document("vllm")["version"]}


def exported_names(name: str, kind: str) -> tuple[str, ...]:
    """As Prometheus reads them: of a histogram three, of a counter one that ends in `_total`."""
    if kind == "histogram":
        return f"{name}_bucket", f"{name}_sum", f"{name}_count"
    return (name if kind == "gauge" or name.endswith("_total") else f"{name}_total",)


def _own() -> Iterator[Series]:
    for metric in ALL:
        serves = _SERVES_LABELS if metric.kind == "gauge" else frozenset()
        labels = frozenset(metric.labels) | serves | _RAYS_LABELS
        yield from _named(exported(metric), metric.kind, "manta", labels)


def _rays() -> Iterator[Series]:
    for name, one in _document("ray")["series"].items():
        labels = None if one["labels"] is None else frozenset(one["labels"]) | _RAYS_LABELS
        yield from _named(name, one["kind"], "ray", labels)


def _vllms() -> Iterator[Series]:
    """As a replica tells them to Ray (serve_app/engines/vllm/deployment.py): gauges all, with the values' own names."""
    for name, one in _document("vllm")["series"].items():
        if name.endswith("_info"):
            continue
        labels = (frozenset(one["labels"]) - {"model_name"}) | {"model"} | _SERVES_LABELS | _RAYS_LABELS
        yield from _named(f"ray_{name.replace(':', '_')}", one["kind"], "vllm", labels)


def _named(name: str, kind: Kind, owner: Owner, labels: frozenset[str] | None) -> Iterator[Series]:
    for one in exported_names(name, kind):
        more = labels | {"le"} if labels is not None and one.endswith("_bucket") else labels
        yield Series(one, kind, owner, more, one not in _NOT_STEADY)


@cache
def _document(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_text())
    return document
