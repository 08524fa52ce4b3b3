"""What AWS's instance types have and cost. Facts with their sources, and nothing that decides.

Here, and not in `cluster`, because three rooms must agree on them: the schema refuses a family that is not here,
`cluster.plan` places replicas on them, and the benchmarks' simulator prices nodes. A type that is not here is not
planned with; add its row, with the source, and it is.
"""

from __future__ import annotations

from collections.abc import Iterator
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
# Families whose memory grows with their vCPUs and that have no local disk:
# family -> architecture, GiB for each vCPU, the largest size.
_GENERAL: dict[str, tuple[Architecture, int, str]] = {
    "c7g": ("arm64", 2, "16xlarge"),
    "m7g": ("arm64", 4, "16xlarge"),
    "r7g": ("arm64", 8, "16xlarge"),
    "c8g": ("arm64", 2, "48xlarge"),
    "m8g": ("arm64", 4, "48xlarge"),
    "r8g": ("arm64", 8, "48xlarge"),
    "c7i": ("amd64", 2, "48xlarge"),
    "m7i": ("amd64", 4, "48xlarge"),
}
# NVIDIA's GPUs -> memory of each, MiB.
_GPU_MEMORY_MIB = {
    "a10g": 22_888,
    "l4": 22_888,
    "l40s": 45_776,
    "a100": 40_960,
    "a100-80g": 81_920,
    "h100": 81_920,
    "h200": 144_384,
}
# p5.4xlarge is not here: by the source it has no GPU, so Karpenter would buy none for a pod that asks for one.
_WITH_GPUS = """
type            vCPUs   GiB  pods  GPUs  GPU       NVMe, GB
g5.xlarge           4    16    58     1  a10g           250
g5.2xlarge          8    32    58     1  a10g           450
g5.4xlarge         16    64   234     1  a10g           600
g5.8xlarge         32   128   234     1  a10g           900
g5.12xlarge        48   192   737     4  a10g          3800
g5.16xlarge        64   256   234     1  a10g          1900
g5.24xlarge        96   384   737     4  a10g          3800
g5.48xlarge       192   768   345     8  a10g          7600
g6.xlarge           4    16    58     1  l4             250
g6.2xlarge          8    32    58     1  l4             450
g6.4xlarge         16    64   234     1  l4             600
g6.8xlarge         32   128   234     1  l4             900
g6.12xlarge        48   192   234     4  l4            3760
g6.16xlarge        64   256   737     1  l4            1880
g6.24xlarge        96   384   737     4  l4            3760
g6.48xlarge       192   768   737     8  l4            7520
g6e.xlarge          4    32    58     1  l40s           250
g6e.2xlarge         8    64    58     1  l40s           450
g6e.4xlarge        16   128   234     1  l40s           600
g6e.8xlarge        32   256   234     1  l40s           900
g6e.12xlarge       48   384   292     4  l40s          3800
g6e.16xlarge       64   512   737     1  l40s          1900
g6e.24xlarge       96   768   492     4  l40s          3800
g6e.48xlarge      192  1536   492     8  l40s          7600
p4d.24xlarge       96  1152   737     8  a100          8000
p4de.24xlarge      96  1152   737     8  a100-80g      8000
p5.48xlarge       192  2048   100     8  h100         30400
p5en.48xlarge     192  2048   198     8  h200         30400
"""


def _general() -> Iterator[Instance]:
    for family, (architecture, gib_per_vcpu, largest) in _GENERAL.items():
        for size, (num_vcpus, max_pods) in _SIZES.items():
            memory_mib = num_vcpus * gib_per_vcpu * 1024
            yield Instance(f"{family}.{size}", architecture, num_vcpus, memory_mib, max_pods)
            if size == largest:
                break


def _with_gpus() -> Iterator[Instance]:
    _, *rows = _WITH_GPUS.strip().splitlines()
    for row in rows:
        name, num_vcpus, memory_gib, max_pods, num_gpus, gpu, nvme_gb = row.split()
        yield Instance(
            name,
            "amd64",
            num_vcpus=int(num_vcpus),
            memory_mib=int(memory_gib) * 1024,
            max_pods=int(max_pods),
            num_gpus=int(num_gpus),
            gpu=gpu,
            gpu_memory_mib=_GPU_MEMORY_MIB[gpu],
            nvme_gb=int(nvme_gb),
        )


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
    *_general(),
    *_with_gpus(),
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
