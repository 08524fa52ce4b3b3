"""What replicas still work on when the load is over, as Ray Serve counts it: slots that nobody gave back.

From the application's /metrics, in Prometheus' text format, which lags behind by the seconds of Ray's export.
"""

from __future__ import annotations

import re
import time

import httpx

_METRICS = ("ray_serve_replica_processing_queries", "ray_serve_num_ongoing_requests_at_replicas")
_LINE = re.compile(rf"^({'|'.join(_METRICS)})\{{([^}}]*)\}}\s+(\S+)", re.MULTILINE)
_DEPLOYMENT = re.compile(r'(?:^|,)deployment="([^"]*)"')
_LOOK_EVERY_S = 2.0


def running(exposition: str) -> dict[str, float] | None:
    """Deployment -> requests, the larger of what its replicas and its callers count; None: nothing counts."""
    counts: dict[tuple[str, str], float] = {}
    for metric, labels, value in _LINE.findall(exposition):
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
