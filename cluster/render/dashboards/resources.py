"""The dashboard of resources: nodes, memory, GPUs, disks, and what Serve holds on them."""

from __future__ import annotations

from cluster.render.dashboards.grafana import Dashboard, Panel, Query, Row, Variable
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
_POD = "manta_group, pod"


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

    used, free = of(NODE_DISK_USED), of(NODE_DISK_FREE)
    return [
        Panel("CPU", "percent", [Query(of(NODE_CPU_PERCENT), "{{manta_group}} {{pod}}")], maximum=100),
        Panel(
            "Memory",
            "percentunit",
            [Query(f"{of(NODE_MEMORY_USED)} / {of(NODE_MEMORY_TOTAL)}", "{{manta_group}} {{pod}}")],
            maximum=1,
            thresholds=(0.85, 0.92),
            description="From 0.95 on Ray ends the process that grew last.",
        ),
        Panel(
            "Disk",
            "percentunit",
            [Query(f"{used} / ({used} + {free})", "{{manta_group}} {{pod}}")],
            maximum=1,
            thresholds=(0.75, 0.85),
        ),
        Panel(
            "Network",
            "Bps",
            [
                Query(of(NODE_RECEIVED_PER_S), "{{manta_group}} {{pod}} in"),
                Query(of(NODE_SENT_PER_S), "{{manta_group}} {{pod}} out"),
            ],
            width=12,
        ),
        Panel(
            "Object store",
            "bytes",
            [Query(f"sum by ({_POD}) ({ask.of(OBJECT_STORE, _CHOSEN)})", "{{manta_group}} {{pod}}")],
            width=12,
        ),
    ]


def _gpus(ask: Queries) -> list[Panel]:
    by = f"sum by ({_POD}, GpuIndex)"
    used = f"{by} ({ask.of(GPU_MEMORY_USED, _CHOSEN)})"
    free = f"{by} ({ask.of(GPU_MEMORY_FREE, _CHOSEN)})"
    return [
        Panel(
            "Busy",
            "percent",
            [Query(f"{by} ({ask.of(GPU_PERCENT, _CHOSEN)})", "{{pod}} GPU {{GpuIndex}}")],
            maximum=100,
            width=12,
        ),
        Panel(
            "Memory",
            "percentunit",
            [Query(f"{used} / ({used} + {free})", "{{pod}} GPU {{GpuIndex}}")],
            maximum=1,
            thresholds=(0.95, 0.97),
            width=12,
        ),
    ]


def _cluster(ask: Queries) -> list[Panel]:
    return [
        Panel(
            "Nodes of Ray",
            "none",
            [
                Query(f"sum by (node_type) ({ask.of(ACTIVE_NODES)})", "{{node_type}} active"),
                Query(f"sum by (node_type) ({ask.of(PENDING_NODES)})", "{{node_type}} pending"),
                Query(f"sum by (node_type) ({ask.of(FAILED_NODES)})", "{{node_type}} failed"),
            ],
        ),
        Panel(
            "Replicas: time to start, p90",
            "ms",
            [Query(ask.quantile(0.9, REPLICA_START_MS, by=("deployment",), window="1h"), "{{deployment}}")],
        ),
        Panel(
            "Failed health checks",
            "short",
            [
                Query(
                    f"sum by (deployment) ({ask.increase(HEALTH_CHECK_FAILURES, window='5m')})",
                    "{{deployment}}",
                )
            ],
        ),
    ]


def _replicas(ask: Queries) -> list[Panel]:
    return [
        Panel(
            "Streams of the channel",
            "short",
            [
                Query(f"sum by (name) ({ask.of(STREAMS_SENT)})", "{{name}} sent"),
                Query(f"sum by (name) ({ask.of(STREAMS_RECEIVED)})", "{{name}} received"),
                Query(f"sum by (name) ({ask.of(CHANNEL_LINKS)})", "{{name}} connections"),
            ],
        ),
        Panel(
            "Tasks of event loops",
            "short",
            [Query(f"max by (name) ({ask.of(EVENT_LOOP_TASKS)})", "{{name}}")],
            description="Grows with the load, and has to shrink with it.",
        ),
        Panel(
            "Spans and scores that were lost",
            "ops",
            [
                Query(f"sum by (reason) ({ask.rate(SPANS_DROPPED)})", "spans {{reason}}"),
                Query(f"sum by (reason) ({ask.rate(SCORES_DROPPED)})", "scores {{reason}}"),
            ],
        ),
    ]
