"""What replicas still hold when the load is over: slots, streams, connections and tasks that nobody gave back.

As Ray Serve counts requests, and as the application's own gauges say. From its /metrics, in Prometheus' text format,
which lags behind by the seconds of Ray's export.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import httpx

_METRICS = ("ray_serve_replica_processing_queries", "ray_serve_num_ongoing_requests_at_replicas")
_GAUGES = (
    "ray_requests_running",
    "ray_requests_queued",
    "ray_channel_streams_sent",
    "ray_channel_streams_received",
    "ray_channel_links",
    "ray_event_loop_tasks",
)
_LINE = re.compile(r"^(ray_\w+)\{([^}]*)\}\s+(\S+)", re.MULTILINE)
_DEPLOYMENT = re.compile(r'(?:^|,)deployment="([^"]*)"')
_LOOK_EVERY_S = 2.0
# Tasks and connections come and go with health checks; a leak of one an hour is more than this after three.
TOLERANCE = 2.0


def running(exposition: str) -> dict[str, float] | None:
    """Deployment -> requests, the larger of what its replicas and its callers count; None: nothing counts."""
    counts: dict[tuple[str, str], float] = {}
    for metric, labels, value in _LINE.findall(exposition):
        if metric not in _METRICS:
            continue
        found = _DEPLOYMENT.search(labels)
        if found is not None:
            key = (found[1], metric)
            counts[key] = counts.get(key, 0.0) + float(value)
    if not counts:
        return None
    deployments = sorted({deployment for deployment, _ in counts})
    return {name: max(counts.get((name, metric), 0.0) for metric in _METRICS) for name in deployments}


def still_running(http: httpx.Client, timeout_s: float) -> dict[str, float] | None:
    """The deployments that still run something after `timeout_s`; empty as soon as none does. None: not told."""
    give_up_s = time.monotonic() + timeout_s
    while True:
        try:
            response = http.get("/metrics")
        except httpx.HTTPError:
            return None
        counts = running(response.text) if response.status_code == 200 else None
        busy = {name: num for name, num in (counts or {}).items() if num > 0}
        if counts is None or not busy or time.monotonic() >= give_up_s:
            return None if counts is None else busy
        time.sleep(_LOOK_EVERY_S)


def held(exposition: str) -> dict[str, float]:
    """ "DEPLOYMENT GAUGE" -> what all of its replicas hold together."""
    sums: dict[str, float] = {}
    for metric, labels, value in _LINE.findall(exposition):
        found = _DEPLOYMENT.search(labels)
        if metric in _GAUGES and found is not None:
            key = f"{found[1]} {metric.removeprefix('ray_')}"
            sums[key] = sums.get(key, 0.0) + float(value)
    return sums


def read_held(http: httpx.Client) -> dict[str, float]:
    """What is held now, as far as it was exported; empty: not told."""
    try:
        response = http.get("/metrics")
    except httpx.HTTPError:
        return {}
    return held(response.text) if response.status_code == 200 else {}


def not_given_back(http: httpx.Client, before: Mapping[str, float], timeout_s: float) -> dict[str, float]:
    """What `timeout_s` after the load is still held beyond `before` and a tolerance, by the same keys."""
    give_up_s = time.monotonic() + timeout_s
    while True:
        more = {key: num - before.get(key, 0.0) for key, num in read_held(http).items()}
        kept = {key: num for key, num in more.items() if num > TOLERANCE}
        if not kept or time.monotonic() >= give_up_s:
            return kept
        time.sleep(_LOOK_EVERY_S)
