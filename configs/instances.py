"""What AWS's instance types have and cost. Facts with their sources, and nothing that decides.

Here, and not in `cluster`, because three rooms must agree on them: the schema refuses a family that is not here,
`cluster.plan` places replicas on them, and the benchmarks' simulator prices nodes. A type that is not here is not
planned with; add its row, with the source, and it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from configs.neuron_instances import NEURON_INSTANCES, NeuronInstance

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
    neuron: NeuronInstance | None = None  # its NeuronCores
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


def _with_gpus(
    family: str, gpu: str, gpu_memory_mib: int, rows: dict[str, tuple[int, int, int, int, int]]
) -> list[Instance]:
    """A family with NVIDIA GPUs; rows: size -> vCPUs, memory in GiB, most pods, GPUs, NVMe in GB."""
    return [
        Instance(
            f"{family}.{size}",
            "amd64",
            num_vcpus=num_vcpus,
            memory_mib=memory_gib * 1024,
            max_pods=max_pods,
            num_gpus=num_gpus,
            gpu=gpu,
            gpu_memory_mib=gpu_memory_mib,
            nvme_gb=nvme_gb,
        )
        for size, (num_vcpus, memory_gib, max_pods, num_gpus, nvme_gb) in rows.items()
    ]


def _with_neuron_cores(name: str, max_pods: int, nvme_gb: int = 0) -> Instance:
    """The host of what `configs.neuron_instances` knows."""
    neuron = NEURON_INSTANCES[name]
    return Instance(
        name,
        "amd64",
        num_vcpus=neuron.num_vcpus,
        memory_mib=neuron.host_memory_gib * 1024,
        max_pods=max_pods,
        neuron=neuron,
        nvme_gb=nvme_gb,
    )


_ALL = (
    *_general("c7g", "arm64", 2, _UP_TO_16),
    *_general("m7g", "arm64", 4, _UP_TO_16),
    *_general("r7g", "arm64", 8, _UP_TO_16),
    *_general("c8g", "arm64", 2, tuple(_SIZES)),
    *_general("m8g", "arm64", 4, tuple(_SIZES)),
    *_general("r8g", "arm64", 8, tuple(_SIZES)),
    *_general("c7i", "amd64", 2, tuple(_SIZES)),
    *_general("m7i", "amd64", 4, tuple(_SIZES)),
    *_with_gpus(
        "g5",
        "a10g",
        22_888,
        {
            "xlarge": (4, 16, 58, 1, 250),
            "2xlarge": (8, 32, 58, 1, 450),
            "4xlarge": (16, 64, 234, 1, 600),
            "8xlarge": (32, 128, 234, 1, 900),
            "12xlarge": (48, 192, 737, 4, 3800),
            "16xlarge": (64, 256, 234, 1, 1900),
            "24xlarge": (96, 384, 737, 4, 3800),
            "48xlarge": (192, 768, 345, 8, 7600),
        },
    ),
    *_with_gpus(
        "g6",
        "l4",
        22_888,
        {
            "xlarge": (4, 16, 58, 1, 250),
            "2xlarge": (8, 32, 58, 1, 450),
            "4xlarge": (16, 64, 234, 1, 600),
            "8xlarge": (32, 128, 234, 1, 900),
            "12xlarge": (48, 192, 234, 4, 3760),
            "16xlarge": (64, 256, 737, 1, 1880),
            "24xlarge": (96, 384, 737, 4, 3760),
            "48xlarge": (192, 768, 737, 8, 7520),
        },
    ),
    *_with_gpus(
        "g6e",
        "l40s",
        45_776,
        {
            "xlarge": (4, 32, 58, 1, 250),
            "2xlarge": (8, 64, 58, 1, 450),
            "4xlarge": (16, 128, 234, 1, 600),
            "8xlarge": (32, 256, 234, 1, 900),
            "12xlarge": (48, 384, 292, 4, 3800),
            "16xlarge": (64, 512, 737, 1, 1900),
            "24xlarge": (96, 768, 492, 4, 3800),
            "48xlarge": (192, 1536, 492, 8, 7600),
        },
    ),
    *_with_gpus("p4d", "a100", 40_960, {"24xlarge": (96, 1152, 737, 8, 8000)}),
    _with_neuron_cores("inf2.xlarge", 58),
    _with_neuron_cores("inf2.8xlarge", 234),
    _with_neuron_cores("inf2.24xlarge", 737),
    _with_neuron_cores("inf2.48xlarge", 737),
    _with_neuron_cores("trn1.2xlarge", 58, nvme_gb=474),
    _with_neuron_cores("trn1.32xlarge", 247, nvme_gb=7600),
    _with_neuron_cores("trn2.48xlarge", 100, nvme_gb=7600),
)
INSTANCES: dict[str, Instance] = {instance.name: instance for instance in _ALL}
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(instance.family for instance in _ALL))


def of_family(family: str) -> tuple[Instance, ...]:
    """Its instance types, the smallest first."""
    return tuple(instance for instance in _ALL if instance.family == family)
