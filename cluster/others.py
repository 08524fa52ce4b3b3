"""Pods that are not Ray's, on the system pool: which parts have some, and how many. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cluster.plan_types import GIB, OtherWorkload
from cluster.section import cluster_of
from configs.schema import PlatformConfig


def others(config: PlatformConfig) -> tuple[OtherWorkload, ...]:
    """A workload for each part of `cluster.parts` with pods of its own."""
    return tuple(_others(config))


def _others(config: PlatformConfig) -> Iterator[OtherWorkload]:
    parts = cluster_of(config).parts
    if (proxy := parts.litellm) is not None:
        middle = math.ceil((proxy.replicas + proxy.max_replicas) / 2)
        counts = (proxy.replicas, middle, proxy.max_replicas)
        yield _workload("litellm", "litellm", proxy.cpus, proxy.memory_gib, counts)
    if (store := parts.opensearch) is not None:
        counts = (store.nodes, store.nodes, store.nodes)
        yield _workload("opensearch", "opensearch", store.cpus, store.memory_gib, counts)
    if (collector := parts.collector) is not None:
        counts = (collector.replicas, collector.replicas, collector.replicas)
        yield _workload("otel-collector", "collector", collector.cpus, collector.memory_gib, counts)
    if (ingestion := parts.ingestion) is not None:
        # Comes when a source is not current, and goes again.
        yield _workload("ingestion", "ingestion", ingestion.workers, ingestion.memory_gib, (0, 0, 1))


def _workload(
    name: str, part: str, cpus: float, memory_gib: float, pods: tuple[int, int, int]
) -> OtherWorkload:
    """`pods`: at least, expected, at most."""
    least, expected, most = pods
    return OtherWorkload(
        name, f"cluster.parts.{part}", float(cpus), int(memory_gib * GIB), least, expected, most
    )
