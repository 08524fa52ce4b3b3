"""Which instance types a pod fits on, how many of it, and by how much the others fall short. Pure.

Knows pods and instances; nothing of deployments, prices or numbers of replicas.
"""

from __future__ import annotations

import math

from cluster.instances import room
from cluster.plan_types import GIB, PodShape
from configs.instances import Instance
from configs.neuron_instances import DEFAULT_LOGICAL_CORE_SIZE, NeuronInstance
from configs.schema.cluster.section import AllowancesConfig

# Of a GPU's memory, what vLLM takes where a model does not say: its own default (vllm/config/cache.py, 0.32).
VLLM_MEMORY_SHARE = 0.92


def pods_per_node(
    pod: PodShape, instance: Instance, allowances: AllowancesConfig, root_volume_gib: int
) -> int:
    """How many such pods a node of this type holds at once; 0: it does not fit."""
    free = room(instance, allowances, root_volume_gib)
    counts = [
        free.cpu_millis // (pod.num_cpus * 1000 + pod.sidecar_cpu_millis),
        free.memory_bytes // (pod.memory_bytes + pod.sidecar_memory_bytes),
        free.disk_bytes // pod.disk_bytes,
    ]
    if pod.num_gpus:
        counts.append(instance.num_gpus // pod.num_gpus)
    if pod.num_neuron_cores:
        chips = 0 if instance.neuron is None else instance.neuron.num_chips
        counts.append(chips // max(1, num_neuron_devices(pod, instance)))
    return max(0, min(counts))


def shortfalls(
    pod: PodShape,
    instance: Instance,
    allowances: AllowancesConfig,
    root_volume_gib: int,
    *,
    device_memory_gib: float | None,
    memory_share: float | None,
) -> tuple[str, ...]:
    """What of an instance is too small for one such pod, each with how much is missing; (): it fits.

    Args:
        device_memory_gib: what the pod's devices must hold together; None: it has none, or does not say.
        memory_share: of each device's memory, what the model may take; None: vLLM's default, and on NeuronCores all.
    """
    free = room(instance, allowances, root_volume_gib)
    cpu = (pod.num_cpus * 1000 + pod.sidecar_cpu_millis) / 1000
    found = [
        _short("CPUs", cpu, free.cpu_millis / 1000),
        _short(
            "memory", (pod.memory_bytes + pod.sidecar_memory_bytes) / GIB, free.memory_bytes / GIB, " GiB"
        ),
        _short("disk", pod.disk_bytes / GIB, free.disk_bytes / GIB, " GiB"),
    ]
    if pod.num_gpus:
        found.append(_short("GPUs", pod.num_gpus, instance.num_gpus))
    if pod.num_neuron_cores:
        found.append(_short("NeuronCores", pod.num_neuron_cores, _num_logical_cores(pod, instance)))
    if device_memory_gib is not None and not any(found[3:]):
        held = _device_memory_gib(pod, instance, memory_share)
        found.append(_short("device memory", device_memory_gib, held, " GiB"))
    return tuple(one for one in found if one is not None)


def num_neuron_devices(pod: PodShape, instance: Instance) -> int:
    """Chips that hold a pod's NeuronCores; a chip belongs to one pod."""
    if instance.neuron is None or pod.num_neuron_cores == 0:
        return 0
    return math.ceil(pod.num_neuron_cores * instance.neuron.num_chips / _num_logical_cores(pod, instance))


def _num_logical_cores(pod: PodShape, instance: Instance) -> int:
    """NeuronCores of an instance as software sees them."""
    neuron = instance.neuron
    return 0 if neuron is None else neuron.num_cores(_core_size(pod, neuron))


def _core_size(pod: PodShape, neuron: NeuronInstance) -> int:
    return pod.logical_core_size or DEFAULT_LOGICAL_CORE_SIZE[neuron.family]


def _device_memory_gib(pod: PodShape, instance: Instance, memory_share: float | None) -> float:
    if pod.num_gpus:
        share = VLLM_MEMORY_SHARE if memory_share is None else memory_share
        return pod.num_gpus * instance.gpu_memory_mib / 1024 * share
    neuron = instance.neuron
    if neuron is None:
        return 0.0
    return pod.num_neuron_cores * neuron.memory_gib_per_core(_core_size(pod, neuron))


def _short(what: str, needed: float, there: float, unit: str = "") -> str | None:
    if needed <= there:
        return None
    return (
        f"{what}: {_number(needed)}{unit} needed, {_number(there)}{unit} there, short by "
        f"{_number(needed - there)}{unit}"
    )


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
