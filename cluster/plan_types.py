"""What a plan consists of: plain, frozen facts that `cluster.plan` decides and `cluster.render` writes down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from configs.instances import Architecture, Instance
from configs.schema.cluster.section import Capacity, Role

GIB = 2**30
LOG_BYTES = 5 * GIB  # Ray keeps its logs in /tmp/ray, rotated
ImageName = Literal["cpu", "vllm", "neuron"]


@dataclass(frozen=True, slots=True)
class Replica:
    """One deployment of Serve, and what each of its replicas takes."""

    deployment: str  # Serve's name of it: `Model-qwen3-8b`
    name: str  # what the profile calls it: a model's or an agent's name, `ingress` or `knowledge`
    key: str  # where the profile says so: `models.0`
    role: Role
    num_cpus: float
    memory_bytes: int  # of the host
    num_gpus: int
    num_neuron_cores: int
    device_memory_gib: float | None  # of all its devices together; None: it has none
    cache_bytes: int  # of disk, for weights and compiled programs
    min_replicas: int
    expected_replicas: int
    max_replicas: int
    peak_replicas: int  # while an update starts new ones beside the old ones
    drain_s: float  # running requests have so long to end
    start_s: float  # from the container's start to the first answer
    memory_share: float | None = None  # of each device's memory, where the profile says
    instance_type: str | None = None  # the only one that it can run on, where the profile names it
    logical_core_size: int | None = None


@dataclass(frozen=True, slots=True)
class PodShape:
    """A pod's resources, and Ray's view of them. Requests equal limits, and Ray is told the same numbers."""

    num_cpus: int
    memory_bytes: int
    ray_memory_bytes: int  # of it, what Ray may promise to replicas
    object_store_bytes: int  # of it, Ray's shared memory
    num_gpus: int
    num_neuron_cores: int  # as software sees them
    cache_bytes: int  # of the node's disk; 0: only logs
    logical_core_size: int | None = None  # physical NeuronCores in one of them; None: AWS's default
    # Beside Ray's container: the head's autoscaler.
    sidecar_cpu_millis: int = 0
    sidecar_memory_bytes: int = 0

    @property
    def disk_bytes(self) -> int:
        """What it asks of the node's disk: the cache, and room for Ray's logs."""
        return self.cache_bytes + LOG_BYTES


@dataclass(frozen=True, slots=True)
class Fit:
    """An instance type that a group's pods fit on."""

    instance: Instance
    pods_per_node: int
    usd_per_hour: float | None  # on demand; None: the price is not known for the region
    spot_usd_per_hour: float | None

    def usd_per_pod_hour(self, capacity: Capacity) -> float | None:
        """A pod's share of a full node."""
        price = self.usd_per_hour if capacity == "on-demand" else self.spot_usd_per_hour
        return None if price is None else price / self.pods_per_node


@dataclass(frozen=True, slots=True)
class Misfit:
    """An allowed instance type that a group's pods do not fit on, and by how much."""

    instance: Instance
    shortfalls: tuple[str, ...]  # "memory 14.2 GiB of 16.0 GiB: short by 1.8 GiB"


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Seconds from "one more replica is wanted" to its first answer, where no node is free."""

    node_s: float  # Karpenter buys it and it joins
    image_s: float  # the image is pulled
    weights_s: float  # they are fetched to the node's disk
    start_s: float  # and loaded or compiled

    @property
    def total_s(self) -> float:
        return self.node_s + self.image_s + self.weights_s + self.start_s


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """A group of equal pods of Ray. The head is one as well, with no replicas."""

    name: str  # `head`, `ingress`, `embedding`, `vllm-qwen3-8b`; a Kubernetes name
    role: Role
    image: ImageName
    replicas: tuple[Replica, ...]
    pod: PodShape
    min_pods: int
    expected_pods: int
    max_pods: int  # with all replicas at their most
    peak_pods: int  # and an update under way: Ray's maxReplicas
    spare_pods: int  # places that are kept free besides, always
    capacity: tuple[Capacity, ...]  # the preferred one first
    fits: tuple[
        Fit, ...
    ]  # the preferred processor first, then what costs least on an ordinary day; never empty
    misfits: tuple[Misfit, ...]
    cold_start: ColdStart
    drain_s: float  # the longest of its replicas'

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Of what its pods may run on, the preferred one first."""
        return tuple(dict.fromkeys(fit.instance.architecture for fit in self.fits))

    @property
    def best(self) -> Fit:
        return self.fits[0]


@dataclass(frozen=True, slots=True)
class OtherWorkload:
    """Pods that are not Ray's, on the system pool: LiteLLM, the collector, OpenSearch."""

    name: str
    key: str  # what in the profile asks for it
    num_cpus: float
    memory_bytes: int
    min_pods: int
    expected_pods: int
    max_pods: int


@dataclass(frozen=True, slots=True)
class NodePool:
    """The nodes of one role: what Karpenter may buy."""

    role: Role
    instance_types: tuple[Instance, ...]  # what some pod of the role fits on, the preferred one first
    capacity: tuple[Capacity, ...]
    min_nodes: (
        int  # of the best instance types, when everything is at its least; places kept free are counted
    )
    expected_nodes: int
    max_nodes: int
    peak_nodes: int  # while an update is under way; the configured bound is not less
    max_vcpus: int  # of the configured bound's nodes, of up to twice the best type's size: Karpenter's limit

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        return tuple(dict.fromkeys(instance.architecture for instance in self.instance_types))

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(instance.family for instance in self.instance_types))


@dataclass(frozen=True, slots=True)
class Money:
    """US dollars an hour. None: a price is not known, so the sum is not."""

    on_demand: float | None
    spot: float | None  # where the profile allows it, and on demand elsewhere


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of the bill."""

    name: str
    minimum: Money
    expected: Money
    maximum: Money


@dataclass(frozen=True, slots=True)
class Wave:
    """A part of what is applied: all of it is ready before the next."""

    number: int
    name: str  # `01-foundation`; the folder's name
    contents: str
    ready_when: str


@dataclass(frozen=True, slots=True)
class Forced:
    """What a line of the profile makes necessary."""

    key: str
    consequence: str


@dataclass(frozen=True, slots=True)
class QuotaNeed:
    """vCPUs of one of EC2's quotas that the plan needs at most."""

    code: str  # of Service Quotas: `L-1216C47A`
    name: str
    num_vcpus: int


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """Everything that follows from a profile."""

    profile: str  # the file's stem: `eks-gpu`
    app_name: str
    route_prefix: str
    serve_options: dict[str, Any]  # of the Serve config file, beside its application
    application: dict[str, Any]  # of its application, beside `args`: name, route_prefix, import_path
    ray_version: str
    head: WorkerGroup
    groups: tuple[WorkerGroup, ...]  # without the head
    others: tuple[OtherWorkload, ...]
    pools: tuple[NodePool, ...]
    costs: tuple[CostLine, ...]
    total: CostLine
    waves: tuple[Wave, ...]
    forced: tuple[Forced, ...]
    warnings: tuple[Forced, ...]  # what can be rendered and is likely not meant
    quotas: tuple[QuotaNeed, ...]
    price_source: str

    def group(self, name: str) -> WorkerGroup:
        """The group of that name, the head included.

        Raises:
            KeyError: there is none.
        """
        return {group.name: group for group in (self.head, *self.groups)}[name]
