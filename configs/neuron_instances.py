"""AWS's instances with NeuronCores: what one has, by its name. Facts, and nothing that decides.

Here, and not in a room of the application, because who places replicas and who starts them must agree on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["inf2", "trn1", "trn2"]


@dataclass(frozen=True, slots=True)
class NeuronInstance:
    """One instance type."""

    name: str
    family: Family
    num_chips: int
    physical_cores_per_chip: int
    memory_gib_per_chip: int  # of the device, not of the host
    num_vcpus: int
    host_memory_gib: int

    def num_cores(self, logical_core_size: int) -> int:
        """Cores that software sees, where each is made of `logical_core_size` physical ones."""
        return self.num_chips * self.physical_cores_per_chip // logical_core_size

    def memory_gib_per_core(self, logical_core_size: int) -> float:
        """Device memory of one such core."""
        return self.memory_gib_per_chip * logical_core_size / self.physical_cores_per_chip


# Chips, device memory, vCPUs and host memory: AWS Neuron documentation, "Amazon EC2 Inf2 / Trn1 / Trn2 Architecture"
# (awsdocs-neuron.readthedocs-hosted.com/en/latest/general/arch/neuron-hardware/, read 2026-11). Cores per chip: its
# pages of Inferentia2, Trainium (2 NeuronCore-v2) and Trainium2 (8 NeuronCore-v3). trn2.3xlarge: one Trainium2 chip,
# EC2's instance types page (read 2026-11).
_INSTANCES = (
    NeuronInstance("inf2.xlarge", "inf2", 1, 2, 32, 4, 16),
    NeuronInstance("inf2.8xlarge", "inf2", 1, 2, 32, 32, 128),
    NeuronInstance("inf2.24xlarge", "inf2", 6, 2, 32, 96, 384),
    NeuronInstance("inf2.48xlarge", "inf2", 12, 2, 32, 192, 768),
    NeuronInstance("trn1.2xlarge", "trn1", 1, 2, 32, 8, 32),
    NeuronInstance("trn1.32xlarge", "trn1", 16, 2, 32, 128, 512),
    NeuronInstance("trn1n.32xlarge", "trn1", 16, 2, 32, 128, 512),
    NeuronInstance("trn2.3xlarge", "trn2", 1, 8, 96, 12, 128),
    NeuronInstance("trn2.48xlarge", "trn2", 16, 8, 96, 192, 2048),
    NeuronInstance("trn2u.48xlarge", "trn2", 16, 8, 96, 192, 2048),
)
NEURON_INSTANCES = {instance.name: instance for instance in _INSTANCES}

# Physical cores in a logical one, by default: "Logical NeuronCore configuration" (same documentation, read 2026-11).
DEFAULT_LOGICAL_CORE_SIZE: dict[Family, int] = {"inf2": 1, "trn1": 1, "trn2": 2}

# "Currently, the Neuron runtime supports tensor-parallelism degrees ..." (Transformers NeuronX developer guide, an
# archived page of the same documentation, read 2026-11). It says nothing of Trn2.
LISTED_DEGREES: dict[Family, frozenset[int]] = {
    "inf2": frozenset({1, 2, 4, 8, 24}),
    "trn1": frozenset({1, 2, 8, 32}),
}
