"""The dashboard of resources: nodes, memory, GPUs, disks, and what Serve holds on them."""

from __future__ import annotations

from cluster.render.dashboards.grafana import Dashboard, Panel, Row, Variable
from cluster.render.dashboards.lines import each
from cluster.render.queries import (
    ACTIVE_NODES,
    FAILED_NODES,
    GPU_MEMORY_FREE,
    GPU_MEMORY_USED,
    GPU_PERCENT,
    HEALTH_CHECK_FAILURES,
    NODE_CPU_PERCENT,
    NODE_DISK_FREE,
    NODE_DISK_USED,
    NODE_MEMORY_TOTAL,
    NODE_MEMORY_USED,
    NODE_RECEIVED_PER_S,
    NODE_SENT_PER_S,
    OBJECT_STORE,
    PENDING_NODES,
    REPLICA_START_MS,
    Queries,
)
from serve_app.telemetry.metrics import (
    CHANNEL_LINKS,
    EVENT_LOOP_TASKS,
    SCORES_DROPPED,
    SPANS_DROPPED,
    STREAMS_RECEIVED,
    STREAMS_SENT,
)

_CHOSEN = 'manta_group=~"$group"'
_POD, _NAMED = "manta_group, pod", "{{manta_group}} {{pod}}"


def dashboard(ask: Queries, *, has_gpus: bool) -> Dashboard:
    """`has_gpus`: whether some group has GPUs. Of NeuronCores Ray tells nothing."""
    rows = [Row("Pods", _pods(ask))]
    if has_gpus:
        rows.append(Row("GPUs", _gpus(ask)))
    rows += [Row("The cluster", _cluster(ask)), Row("Inside replicas", _replicas(ask))]
    return Dashboard(
        "manta-resources",
        "Manta / Resources",
        "What Ray's pods use: CPU, memory, GPUs, disks, network.",
        rows,
        [Variable("group", "Group", f"label_values({ask.of(NODE_CPU_PERCENT)}, manta_group)")],
    )


def _pods(ask: Queries) -> list[Panel]:
    def of(series: str) -> str:
        return f"max by ({_POD}) ({ask.of(series, _CHOSEN)})"

    cpu = each(_POD, ask.of(NODE_CPU_PERCENT, _CHOSEN), how="max")
    memory = {_NAMED: f"{of(NODE_MEMORY_USED)} / {of(NODE_MEMORY_TOTAL)}"}
    used, free = of(NODE_DISK_USED), of(NODE_DISK_FREE)
    disk = {_NAMED: f"{used} / ({used} + {free})"}
    network = each(_POD, ask.of(NODE_RECEIVED_PER_S, _CHOSEN), "in", how="max")
    network |= each(_POD, ask.of(NODE_SENT_PER_S, _CHOSEN), "out", how="max")
    ends = "From 0.95 on Ray ends the process that grew last."
    evicts = "Of the node, below the pod: from 0.9 on the kubelet evicts."
    return [
        Panel("CPU", "percent", cpu, maximum=100),
        Panel("Memory", "percentunit", memory, maximum=1, thresholds=(0.85, 0.92), description=ends),
        Panel("Disk", "percentunit", disk, maximum=1, thresholds=(0.75, 0.85), description=evicts),
        Panel("Network", "Bps", network, width=12),
        Panel("Object store", "bytes", each(_POD, ask.of(OBJECT_STORE, _CHOSEN)), width=12),
    ]


def _gpus(ask: Queries) -> list[Panel]:
    by = f"{_POD}, GpuIndex"
    named = "{{pod}} GPU {{GpuIndex}}"
    used, free = (f"sum by ({by}) ({ask.of(one, _CHOSEN)})" for one in (GPU_MEMORY_USED, GPU_MEMORY_FREE))
    memory = {named: f"{used} / ({used} + {free})"}
    busy = each(by, ask.of(GPU_PERCENT, _CHOSEN), legend=named)
    return [
        Panel("Busy", "percent", busy, maximum=100, width=12),
        Panel("Memory", "percentunit", memory, maximum=1, thresholds=(0.95, 0.97), width=12),
    ]


def _cluster(ask: Queries) -> list[Panel]:
    nodes = each("node_type", ask.of(ACTIVE_NODES), "active")
    nodes |= each("node_type", ask.of(PENDING_NODES), "pending")
    nodes |= each("node_type", ask.of(FAILED_NODES), "failed")
    start = {"{{deployment}}": ask.quantile(0.9, REPLICA_START_MS, by=("deployment",), window="1h")}
    failed = each("deployment", ask.increase(HEALTH_CHECK_FAILURES, window="5m"))
    return [
        Panel("Nodes of Ray", "none", nodes),
        Panel("Replicas: time to start, p90", "ms", start),
        Panel("Failed health checks", "short", failed),
    ]


def _replicas(ask: Queries) -> list[Panel]:
    streams = each("name", ask.of(STREAMS_SENT), "sent")
    streams |= each("name", ask.of(STREAMS_RECEIVED), "received")
    streams |= each("name", ask.of(CHANNEL_LINKS), "connections")
    tasks = each("name", ask.of(EVENT_LOOP_TASKS), how="max")
    lost = each("reason", ask.rate(SPANS_DROPPED), legend="spans {{reason}}")
    lost |= each("reason", ask.rate(SCORES_DROPPED), legend="scores {{reason}}")
    grows = "Grows with the load, and has to shrink with it."
    return [
        Panel("Streams of the channel", "short", streams),
        Panel("Tasks of event loops", "short", tasks, description=grows),
        Panel("Spans and scores that were lost", "ops", lost),
    ]
