"""Alerts of engines and the machines under them: GPU memory, the KV cache, memory, disks."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.plan_types import ClusterPlan
from cluster.render.alerts.base import Alert
from cluster.render.queries import (
    GPU_MEMORY_FREE,
    GPU_MEMORY_USED,
    NODE_DISK_FREE,
    NODE_DISK_USED,
    NODE_MEMORY_TOTAL,
    NODE_MEMORY_USED,
    VLLM_FIRST_TOKEN_S,
    VLLM_KV_CACHE,
    VLLM_PREEMPTIONS,
    Queries,
    one_of,
)
from configs.schema import PlatformConfig, VllmModel

# vLLM takes `gpu_memory_utilization` of it when it starts (0.92 by default); what comes on top are graphs and adapters.
_FULL_GPU = 0.97
_FULL_KV_CACHE = 0.95
_FULL_MEMORY = 0.92  # Ray ends processes from 0.95 on: RAY_memory_usage_threshold
_FULL_DISK = 0.85  # the kubelet evicts pods from 0.9 on, by default


def alerts(config: PlatformConfig, plan: ClusterPlan, ask: Queries) -> Iterator[Alert]:
    models = tuple(sorted(one.name for one in config.models if isinstance(one, VllmModel)))
    if any(group.role == "gpu" for group in plan.groups):
        yield _gpu_memory(ask)
    if models:
        yield from _kv_cache(models, ask)
        yield _first_token(config, models, ask)
    yield _memory(ask)
    yield _disk(ask)


def _gpu_memory(ask: Queries) -> Alert:
    by = "sum by (manta_group, pod, GpuIndex)"
    used, free = f"{by} ({ask.of(GPU_MEMORY_USED)})", f"{by} ({ask.of(GPU_MEMORY_FREE)})"
    return Alert(
        "MantaGpuMemoryFull",
        f"{used} / ({used} + {free}) > {_FULL_GPU}",
        600,
        "warning",
        "GPU {{ $labels.GpuIndex }} of {{ $labels.pod }} is {{ $value | humanizePercentage }} full.",
        "The next large batch may end the engine with out-of-memory. 1. Lower `gpu_memory_utilization` by 0.03, or "
        "`engine_args.max_num_seqs`. 2. Is something else on the device? The plan gives a GPU to one replica only.",
    )


def _kv_cache(models: tuple[str, ...], ask: Queries) -> Iterator[Alert]:
    which = one_of("model", models)
    yield Alert(
        "MantaKvCacheFull",
        f"max by (model, replica) ({ask.of(VLLM_KV_CACHE, which)}) > {_FULL_KV_CACHE}",
        600,
        "warning",
        "The KV cache of {{ $labels.model }} is {{ $value | humanizePercentage }} full in one of its replicas.",
        "Requests wait for room, and some are begun anew. 1. All replicas, or one? One: long prompts of one user "
        "(dashboard `Models`). 2. All: more replicas (`scaling.max_replicas`), fewer sequences at once "
        "(`engine_args.max_num_seqs`), a shorter `max_model_len`, or a type with more memory.",
    )
    preempted = f"sum by (model) ({ask.rate(VLLM_PREEMPTIONS, which)})"
    yield Alert(
        "MantaPreemptions",
        f"{preempted} > 0.1",
        900,
        "warning",
        "{{ $labels.model }} throws away {{ $value | humanize }} half-made answers a second, and begins them again.",
        "The KV cache is too small for what runs at once: what MantaKvCacheFull says helps here too.",
    )


def _first_token(config: PlatformConfig, models: tuple[str, ...], ask: Queries) -> Alert:
    limit_s = config.agent.budget.first_token_s
    first = ask.quantile(0.95, VLLM_FIRST_TOKEN_S, one_of("model", models), by=("model",))
    return Alert(
        "MantaFirstTokenSlow",
        f"{first} > {limit_s:g}",
        600,
        "warning",
        "One answer of {{ $labels.model }} in twenty begins after {{ $value | humanize }} s or later.",
        "The agent gives up on a model that does not begin within `agent.budget.first_token_s`. As MantaQueueOld; "
        "where nothing waits, prompts are long: look at their lengths and at the share of the prefix cache in "
        "`Models`.",
    )


def _memory(ask: Queries) -> Alert:
    by = "max by (manta_group, pod)"
    return Alert(
        "MantaMemoryFull",
        f"{by} ({ask.of(NODE_MEMORY_USED)}) / {by} ({ask.of(NODE_MEMORY_TOTAL)}) > {_FULL_MEMORY}",
        300,
        "warning",
        "{{ $labels.pod }} ({{ $labels.manta_group }}) uses {{ $value | humanizePercentage }} of its memory.",
        "Ray ends the process that grew last before the kernel ends the pod. 1. Which replica grew (dashboard "
        "`Resources`)? 2. Raise its `cluster.replicas.NAME.memory_gib`, or lower its cache (`prefix_cache_bytes`).",
    )


def _disk(ask: Queries) -> Alert:
    by = "max by (manta_group, pod)"
    used, free = f"{by} ({ask.of(NODE_DISK_USED)})", f"{by} ({ask.of(NODE_DISK_FREE)})"
    return Alert(
        "MantaDiskFull",
        f"{used} / ({used} + {free}) > {_FULL_DISK}",
        600,
        "warning",
        "The disk below {{ $labels.pod }} is {{ $value | humanizePercentage }} full.",
        "The kubelet will evict pods. Weights of models that are no longer served stay in the cache: "
        "`manta models list` in the pod; or raise `cache_gib` and `root_volume_gib`, and let the node be replaced.",
    )
