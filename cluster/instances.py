"""What of an instance pods may take: its capacity less what Linux, the kubelet and DaemonSets keep. Pure.

The facts are `configs.instances`'; this applies the formulas by which a node's allocatable resources follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.plan_types import GIB
from configs.instances import Instance
from configs.schema.cluster.section import AllowancesConfig

MIB = 2**20
# Of memory, what the hypervisor and the kernel keep before Linux counts it: Karpenter's default
# `vmMemoryOverheadPercent` (website/content/en/docs/reference/settings.md of aws/karpenter-provider-aws, read 2026-11).
_HIDDEN_SHARE = 0.075
# An arm64 kernel of AL2023 sets this aside for contiguous allocations; Karpenter subtracts it too (its own "Instance
# Types" page differs between arm64 and amd64 of the same memory by just so much, after the share above).
_ARM_CMA_MIB = 64
_EVICTION_MIB = 100  # the kubelet's default `evictionHard` of memory.available


@dataclass(frozen=True, slots=True)
class Room:
    """What pods may take on a node."""

    cpu_millis: int
    memory_bytes: int
    disk_bytes: int  # of the local NVMe, else of the root volume


def allocatable_cpu_millis(num_vcpus: int) -> int:
    """CPU that the kubelet leaves: 6 % of the first core is kept, 1 % of the second, 0.5 % of the next two, 0.25 % of
    the others (EKS's node configuration; the same numbers as Karpenter's "Instance Types" page gives).
    """
    kept = 60.0
    kept += 10.0 if num_vcpus > 1 else 0.0
    kept += 5.0 * max(0, min(num_vcpus, 4) - 2)
    kept += 2.5 * max(0, num_vcpus - 4)
    return num_vcpus * 1000 - round(kept)


def allocatable_memory_mib(instance: Instance) -> int:
    """Memory that the kubelet leaves: less its own 255 MiB and 11 MiB for each pod that the network allows, and what
    it evicts at.
    """
    visible = instance.memory_mib - (_ARM_CMA_MIB if instance.is_graviton else 0)
    kept = 255 + 11 * instance.max_pods + _EVICTION_MIB
    return int(visible * (1 - _HIDDEN_SHARE)) - kept


def room(instance: Instance, allowances: AllowancesConfig, root_volume_gib: int) -> Room:
    """What is left for the pods that are planned."""
    memory_mib = allocatable_memory_mib(instance) - allowances.daemon_memory_gib * 1024
    return Room(
        cpu_millis=allocatable_cpu_millis(instance.num_vcpus) - round(allowances.daemon_cpus * 1000),
        memory_bytes=int(memory_mib * MIB),
        # Images and logs share the disk with the pods' own: a fifth is theirs.
        disk_bytes=int(0.8 * (instance.nvme_gb * 10**9 or root_volume_gib * GIB)),
    )
