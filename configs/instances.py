"""What AWS's instance types have and cost. Facts with their sources, and nothing that decides.

Here, and not in `cluster`, because three rooms must agree on them: the schema refuses a family that is not here,
`cluster.plan` places replicas on them, and the benchmarks' simulator prices nodes. A type that is not here is not
planned with; add its row, with the source, and it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["arm64", "amd64"]

# vCPUs, memory, most pods (by elastic network interfaces), GPUs, their memory, and local NVMe: the labels and resources
# in "Instance Types" of Karpenter's documentation, which is generated from EC2's DescribeInstanceTypes:
# website/content/en/docs/reference/instance-types.md of aws/karpenter-provider-aws at commit
# 0c5e7d8112409aff07b0f17a0f51c87bdba52ed1 (read 2026-11).
FACTS_SOURCE = "EC2 DescribeInstanceTypes by way of aws/karpenter-provider-aws at 0c5e7d811240"


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance type."""

    name: str
    architecture: Architecture
    num_vcpus: int
    memory_mib: int
    max_pods: int
    num_gpus: int = 0
    gpu: str | None = None  # NVIDIA's name
    gpu_memory_mib: int = 0  # of each
    num_neuron_devices: int = 0
    num_neuron_cores: int = 0  # physical
    neuron_memory_gib: int = 0  # of all devices
    nvme_gb: int = 0  # local disk, 10^9 bytes; 0: EBS only

    @property
    def family(self) -> str:
        return self.name.partition(".")[0]

    @property
    def is_graviton(self) -> bool:
        return self.architecture == "arm64"


# size -> vCPUs, most pods
_SIZES = {
    "large": (2, 29),
    "xlarge": (4, 58),
    "2xlarge": (8, 58),
    "4xlarge": (16, 234),
    "8xlarge": (32, 234),
    "12xlarge": (48, 234),
    "16xlarge": (64, 737),
    "24xlarge": (96, 737),
    "48xlarge": (192, 737),
}
_UP_TO_16 = tuple(_SIZES)[:7]


def _general(
    family: str, architecture: Architecture, gib_per_vcpu: int, sizes: tuple[str, ...]
) -> list[Instance]:
    """A family whose memory grows with its vCPUs and that has no local disk."""
    return [
        Instance(
            f"{family}.{size}",
            architecture,
            num_vcpus=_SIZES[size][0],
            memory_mib=_SIZES[size][0] * gib_per_vcpu * 1024,
            max_pods=_SIZES[size][1],
        )
        for size in sizes
    ]


_ALL = (
    *_general("c7g", "arm64", 2, _UP_TO_16),
    *_general("m7g", "arm64", 4, _UP_TO_16),
    *_general("r7g", "arm64", 8, _UP_TO_16),
    *_general("c8g", "arm64", 2, tuple(_SIZES)),
    *_general("m8g", "arm64", 4, tuple(_SIZES)),
    *_general("r8g", "arm64", 8, tuple(_SIZES)),
    *_general("c7i", "amd64", 2, tuple(_SIZES)),
    *_general("m7i", "amd64", 4, tuple(_SIZES)),
)
INSTANCES: dict[str, Instance] = {instance.name: instance for instance in _ALL}
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(instance.family for instance in _ALL))


def of_family(family: str) -> tuple[Instance, ...]:
    """Its instance types, the smallest first."""
    return tuple(instance for instance in _ALL if instance.family == family)
