"""The cluster that a profile is rendered for: EKS, its nodes and images, its names, and the parts around the graph.

Read by `manta cluster`. On one machine nothing reads it, and `serve run` of the same file ignores it. Facts of
instances are in `configs.instances`, regions in `configs.regions`; what follows from both is `cluster.plan`'s.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from configs.instances import FAMILIES
from configs.regions import REGIONS
from configs.schema.base import Name, SecretRef, Strict
from configs.schema.cluster.parts import PartSwitches
from configs.schema.engines.vllm import VariableName

Role = Literal["head", "system", "ingress", "embedding", "cpu", "gpu", "neuron"]
Capacity = Literal["on-demand", "spot"]

KubeName = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$")]
Domain = Annotated[str, StringConstraints(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")]
AccountId = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
Arn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12})?:\S+$")]
FamilyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]
# By digest, so that what was tested is what runs; the tag beside it is for people, and says Ray's version.
ImageReference = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+(:[A-Za-z0-9._-]{1,128})?@sha256:[0-9a-f]{64}$"
    ),
]
# A range of IPv4 addresses; anything finer is Kubernetes' to judge.
Cidr = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,3}\.){3}[0-9]{1,3}/([0-9]|[12][0-9]|3[0-2])$")]
HostAndPort = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*:[0-9]{1,5}$")]


class NamespacesConfig(Strict):
    """Where things live. Each namespace has its own rules of the network and of pods."""

    application: KubeName = Field(default="manta", description="Ray and the application.")
    gateway: KubeName = Field(
        default="manta-gateway", description="LiteLLM, and what lets clients in from outside."
    )
    observability: KubeName = Field(
        default="manta-observability", description="The collector of traces, and dashboards."
    )
    knowledge: KubeName = Field(
        default="manta-knowledge", description="OpenSearch, where the cluster has its own."
    )

    @model_validator(mode="after")
    def _apart(self) -> NamespacesConfig:
        names = [getattr(self, field) for field in type(self).model_fields]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the namespace {name!r} is given twice; each has rules of its own")
        return self


class EgressConfig(Strict):
    """A place outside that pods may reach, besides what the profile itself names."""

    cidr: Cidr = Field(description="Addresses (`192.0.2.0/24`).")
    port: int = Field(ge=1, le=65535, description="TCP port.")


class NetworkConfig(Strict):
    """What the rules of the network must know of the network."""

    vpc_cidr: Cidr = Field(
        default="10.0.0.0/16",
        description="Addresses of the VPC: load balancers, endpoints, managed stores and the Kubernetes API are there.",
    )
    service_cidr: Cidr = Field(
        default="172.20.0.0/16",
        description="Addresses of Kubernetes Services, as the EKS cluster was made with.",
    )
    entrance_cidrs: tuple[Cidr, ...] = Field(
        default=(), description="Subnets of the load balancer in front; empty: it may be anywhere in the VPC."
    )
    https_cidrs: tuple[Cidr, ...] = Field(
        default=("0.0.0.0/0",),
        description="Where pods may go by HTTPS: S3, model hubs, providers. Empty: nowhere outside the VPC.",
    )
    egress: tuple[EgressConfig, ...] = Field(
        default=(), description="Where Ray's pods may go besides: what the profile does not name."
    )


class ImagesConfig(Strict):
    """Container images, by digest."""

    cpu: ImageReference = Field(
        description="The application, for amd64 and arm64: the head, the ingress, agents, llama.cpp."
    )
    vllm: ImageReference | None = Field(
        default=None, description="The application with vLLM for NVIDIA GPUs; needed by `device: cuda`."
    )
    neuron: ImageReference | None = Field(
        default=None, description="The application with vLLM for NeuronCores; needed by `device: neuron`."
    )
    litellm: ImageReference | None = Field(
        default=None, description="LiteLLM's proxy with our hooks; needed by `parts.litellm`."
    )
    collector: ImageReference | None = Field(
        default=None,
        description="The OpenTelemetry collector with the contributed components; needed by `parts.collector`.",
    )


class PoolConfig(Strict):
    """The nodes of one role: what Karpenter may buy for it, and how much."""

    instance_families: tuple[FamilyName, ...] = Field(
        min_length=1,
        description="Families of instances that are allowed (`m8g`). Nodes of the first one's processor (arm64 or "
        "amd64) are preferred; among those the cheapest for what is asked.",
    )
    max_vcpus_per_node: int | None = Field(
        default=None, ge=1, description="No larger instance than this; None: every size of the families."
    )
    capacity: tuple[Capacity, ...] = Field(
        default=("on-demand",),
        min_length=1,
        max_length=2,
        description="How nodes are bought: `on-demand`, `spot`, or both, the preferred one first.",
    )
    max_nodes: int = Field(
        default=10, ge=1, description="Most nodes of this role; the plan refuses replicas beyond it."
    )
    root_volume_gib: int = Field(
        default=100,
        ge=30,
        description="EBS volume of a node, for images and logs, in GiB. Model weights go to local NVMe where the "
        "instance has it.",
    )
    expire_after_h: int = Field(
        default=336,
        ge=24,
        description="Hours after which a node is replaced, drained first; those of the head wait for a person.",
    )
    buffer_pods: int = Field(
        default=0,
        ge=0,
        description="Places for pods of this role that are kept free (CapacityBuffer), so that growing waits for no "
        "node; costs as much as the pods would.",
    )

    @model_validator(mode="after")
    def _once(self) -> PoolConfig:
        for field in ("instance_families", "capacity"):
            given = getattr(self, field)
            for one in given:
                if given.count(one) > 1:
                    raise ValueError(f"{field} names {one!r} twice")
        for family in self.instance_families:
            if family not in FAMILIES:
                raise ValueError(
                    f"instance_families names {family!r}, which Manta has no facts of; it knows: {', '.join(FAMILIES)}"
                )
        return self


class SharedPoolConfig(PoolConfig):
    """Nodes whose pods hold replicas of several deployments, as many as Ray packs into one."""

    pod_cpus: int = Field(default=3, ge=1, description="CPUs of a pod.")
    pod_memory_gib: int = Field(
        default=12, ge=1, description="Memory of a pod, in GiB, with what Ray itself takes of it."
    )


class HeadPoolConfig(SharedPoolConfig):
    """The node of Ray's head, which has no work on it: the cluster's state, Serve's controller, the autoscaler."""

    pod_cpus: int = Field(default=3, ge=1, description="CPUs of the head's pod.")
    pod_memory_gib: int = Field(default=12, ge=4, description="Memory of the head's pod, in GiB.")

    @model_validator(mode="after")
    def _stays(self) -> HeadPoolConfig:
        if "spot" in self.capacity:
            raise ValueError(
                "capacity names spot, which AWS takes back at two minutes' notice: not for the head"
            )
        return self


class PoolsConfig(Strict):
    """Nodes, by role. A role that nothing in the profile needs may be left out."""

    head: HeadPoolConfig = Field(
        default=HeadPoolConfig(instance_families=("m8g", "m7g")), description="Ray's head."
    )
    system: PoolConfig = Field(
        default=PoolConfig(instance_families=("m8g", "m7g")),
        description="What is not Ray: LiteLLM, the collector, OpenSearch.",
    )
    ingress: SharedPoolConfig = Field(
        default=SharedPoolConfig(instance_families=("m8g", "m7g")),
        description="The ingress, agents, the knowledge base, and models that compute nothing themselves.",
    )
    embedding: PoolConfig = Field(
        default=PoolConfig(instance_families=("c8g", "c7g")), description="The embedder and the reranker."
    )
    cpu: PoolConfig | None = Field(
        default=None, description="Chat models on CPUs (llama.cpp, vLLM with `device: cpu`)."
    )
    gpu: PoolConfig | None = Field(default=None, description="vLLM on NVIDIA GPUs.")
    neuron: PoolConfig | None = Field(default=None, description="vLLM on NeuronCores.")

    @model_validator(mode="after")
    def _kept_free_where_something_grows(self) -> PoolsConfig:
        for role in ("head", "system"):
            if getattr(self, role).buffer_pods:
                raise ValueError(f"{role}.buffer_pods: places are kept for Ray's workers, and none run there")
        return self


class ReplicaConfig(Strict):
    """What one replica of a deployment needs besides its CPUs and devices, which are the deployment's own settings."""

    memory_gib: float = Field(
        default=1.0,
        gt=0,
        description="Memory of the replica's processes, in GiB: weights on CPU, keys, values.",
    )
    device_memory_gib: float | None = Field(
        default=None,
        gt=0,
        description="Memory of all its devices together, in GiB: weights, and the keys and values that it shall have "
        "room for. Needed by models on devices.",
    )
    cache_gib: float = Field(
        default=0.0,
        ge=0,
        description="Disk for weights and compiled programs, in GiB. Local NVMe is asked for where it is not 0.",
    )
    expected_replicas: int | None = Field(
        default=None,
        ge=0,
        description="Replicas on an ordinary day, for the plan's expected cost; None: half way from least to most.",
    )
    start_s: float = Field(
        default=20.0,
        ge=0,
        description="Seconds from the container's start to the first answer, for the plan's cold start: loading "
        "weights and compiling. Fetching them is counted by cache_gib.",
    )


class AllowancesConfig(Strict):
    """What the plan reckons with where nothing measures it. Allowances, for whoever measures to correct."""

    daemon_cpus: float = Field(
        default=0.3,
        ge=0,
        description="CPUs of a node that DaemonSets take (network, storage, proxy, metrics).",
    )
    daemon_memory_gib: float = Field(
        default=0.5, ge=0, description="Memory of a node that they take, in GiB."
    )
    ray_memory_gib: float = Field(
        default=1.5,
        ge=0.5,
        description="Memory of a pod that Ray and HAProxy take for themselves, in GiB: Ray promises it to no replica.",
    )
    object_store_gib: float = Field(
        default=0.5, ge=0.1, description="Shared memory of a pod for large messages, in GiB."
    )
    node_s: float = Field(
        default=60.0, ge=0, description="Seconds until a node that was asked for has joined."
    )
    device_node_s: float = Field(
        default=120.0, ge=0, description="The same of a node with devices, their plugin included."
    )
    image_s: float = Field(default=45.0, ge=0, description="Seconds to pull the application's image.")
    device_image_s: float = Field(default=180.0, ge=0, description="The same of the images with vLLM.")
    weights_gib_per_s: float = Field(
        default=0.25, gt=0, description="Weights that a node fetches in a second, in GiB."
    )


class RedisReference(Strict):
    """A Redis that is there already (ElastiCache, MemoryDB), by its address."""

    address: HostAndPort = Field(description="`HOST:PORT` of its primary endpoint.")
    tls: bool = Field(default=True, description="Whether connections are encrypted.")
    username: str | None = Field(default=None, min_length=1, description="User; None: the default one.")
    password: SecretRef | None = Field(default=None, description="Its password; None: it asks for none.")


class SecretSource(Strict):
    """Where the External Secrets Operator finds a secret. A reference; a value never stands here."""

    remote: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/_+=.@:-]{1,512}$")] = Field(
        description="Name of the secret in AWS Secrets Manager."
    )
    property: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")] | None = Field(
        default=None, description="Key in the secret's JSON; None: the secret is the value."
    )


class AlbEntrance(Strict):
    """An Application Load Balancer in front, by the AWS Load Balancer Controller."""

    kind: Literal["alb"]
    domain: Domain = Field(description="Name under which clients find it.")
    internal: bool = Field(default=True, description="Reachable from the VPC only.")
    certificate_arn: Arn = Field(description="Certificate (ACM) of the domain.")
    waf_acl_arn: Arn | None = Field(default=None, description="Web ACL (WAF) before it; None: none.")


class CanaryConfig(Strict):
    """A second version beside the first, for some of the requests."""

    service: KubeName = Field(description="Service in the namespace of what it stands beside.")
    port: int = Field(default=8000, ge=1, le=65535, description="Its port.")
    weight_percent: int = Field(ge=0, le=100, description="Its share of the requests.")


class GatewayApiEntrance(Strict):
    """A Gateway of the Gateway API in front, which also lets upgrades of Ray move traffic by steps."""

    kind: Literal["gateway-api"]
    domain: Domain = Field(description="Name under which clients find it.")
    internal: bool = Field(
        default=True,
        description="Whether the load balancer before the Gateway is reachable from the VPC only.",
    )
    gateway_class: KubeName = Field(description="Class of the Gateway, of a controller in the cluster.")
    tls_secret: KubeName | None = Field(
        default=None,
        description="Secret with the certificate of the domain, in the gateway's namespace; None: TLS ends before.",
    )
    proxy_namespace: KubeName | None = Field(
        default=None,
        description="Namespace of the pods that are the Gateway's proxies; None: the Gateway's own.",
    )
    canary: CanaryConfig | None = Field(default=None, description="A share of the traffic goes elsewhere.")


class UpgradeConfig(Strict):
    """How a new version of Ray's cluster takes over from the old one."""

    max_surge_percent: int = Field(
        default=100,
        ge=1,
        le=100,
        description="Of the new cluster's size, how much may run beside the old one (Gateway API only).",
    )
    step_percent: int = Field(
        default=10, ge=1, le=100, description="Share of the traffic that moves at once (Gateway API only)."
    )
    interval_s: int = Field(
        default=30, ge=1, description="Seconds between two such steps (Gateway API only)."
    )
    drain_s: int = Field(
        default=60,
        ge=0,
        description="Seconds that a pod has after its replicas have drained, before it is killed.",
    )


class LiteLLMPart(Strict):
    """LiteLLM's Deployment. What it serves is the section `litellm` of the profile."""

    replicas: int = Field(default=2, ge=1, le=100, description="Pods, at least.")
    max_replicas: int = Field(default=8, ge=1, le=100, description="Pods, at most.")
    cpus: float = Field(default=1.0, gt=0, description="CPUs of a pod.")
    memory_gib: float = Field(default=2.0, gt=0, description="Memory of a pod, in GiB.")

    @model_validator(mode="after")
    def _bounds(self) -> LiteLLMPart:
        if self.replicas > self.max_replicas:
            raise ValueError(f"replicas {self.replicas} is above max_replicas {self.max_replicas}")
        return self


class OpenSearchPart(Strict):
    """OpenSearch in the cluster, by its operator. A domain of AWS needs no part: the store's `url` says where it is."""

    nodes: int = Field(default=3, ge=1, description="Data nodes, one a zone first.")
    cpus: float = Field(default=2.0, gt=0, description="CPUs of a node.")
    memory_gib: float = Field(
        default=8.0, ge=2, description="Memory of a node, in GiB; half of it is Java's."
    )
    disk_gib: int = Field(default=100, ge=10, description="Disk of a node, in GiB.")


class PartsConfig(PartSwitches):
    """What is rendered around Ray. What is None is left out."""

    litellm: LiteLLMPart | None = Field(default=None, description="LiteLLM in front of the application.")
    opensearch: OpenSearchPart | None = Field(default=None, description="OpenSearch in the cluster.")


class ClusterConfig(Strict):
    """One EKS cluster with one Manta on it."""

    name: KubeName = Field(description="Name of the EKS cluster.")
    account_id: AccountId = Field(description="AWS account, 12 digits, quoted.")
    region: str = Field(description="AWS region (`us-east-1`).")
    zones: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z]$")], ...] = Field(
        default=("a", "b", "c"),
        min_length=3,
        description="Letters of at least three availability zones: pods are spread over them.",
    )
    compute: Literal["karpenter", "auto-mode"] = Field(
        default="karpenter",
        description="Who buys nodes: Karpenter in the cluster, or EKS Auto Mode, which runs one of its own.",
    )
    node_image: Literal["al2023", "bottlerocket"] = Field(
        default="al2023", description="Operating system of nodes; EKS Auto Mode brings its own."
    )
    node_image_version: Annotated[str, StringConstraints(pattern=r"^(latest|v[0-9][0-9.]{0,15})$")] = Field(
        default="latest",
        description="Release of that image (`v20261101`, `v1.50.0`). `latest` replaces nodes when AWS releases one, "
        "within their pool's disruption budget.",
    )
    namespaces: NamespacesConfig = Field(default=NamespacesConfig(), description="Where things live.")
    network: NetworkConfig = Field(default=NetworkConfig(), description="The network around it.")
    images: ImagesConfig = Field(description="Container images.")
    pools: PoolsConfig = Field(default=PoolsConfig(), description="Nodes, by role.")
    replicas: dict[Name, ReplicaConfig] = Field(
        default={},
        description="Name of a model, embedder, reranker or agent, or `ingress` or `knowledge` -> what one replica "
        "needs. Required for models with weights.",
    )
    allowances: AllowancesConfig = Field(
        default=AllowancesConfig(), description="What the plan reckons with where nothing measures it."
    )
    gcs_redis: RedisReference = Field(
        description="Where Ray's head keeps the cluster's state, so that its death stops no request."
    )
    opensearch_arn: Arn | None = Field(
        default=None,
        description="ARN of the domain or collection that the store signs for, where its address is one of your own "
        "and does not hold AWS's name for it; None: the address says it.",
    )
    secrets: dict[VariableName, SecretSource] = Field(
        default={},
        description="Environment variable that the profile names as a secret -> where it comes from. Each must be "
        "here.",
    )
    entrance: Annotated[AlbEntrance | GatewayApiEntrance, Field(discriminator="kind")] = Field(
        description="How clients come in."
    )
    upgrade: UpgradeConfig = Field(default=UpgradeConfig(), description="How new versions take over.")
    parts: PartsConfig = Field(default=PartsConfig(), description="What is rendered around Ray.")
    usd_per_hour: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={},
        description="Instance type -> its price on demand, where a contract or a region has another than Manta's "
        "table.",
    )
    spot_share: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default={},
        description="Instance family -> what spot costs of the price on demand, where Manta's table has nothing or "
        "something else.",
    )

    @model_validator(mode="after")
    def _known_region(self) -> ClusterConfig:
        if self.region not in REGIONS:
            raise ValueError(f"region {self.region!r} is none of: {', '.join(sorted(REGIONS))}")
        if len(set(self.zones)) != len(self.zones):
            raise ValueError(f"zones names a zone twice: {', '.join(self.zones)}")
        return self

    def zone_names(self) -> tuple[str, ...]:
        """As AWS names them: `us-east-1a`."""
        return tuple(f"{self.region}{letter}" for letter in self.zones)

    @model_validator(mode="after")
    def _images_of_parts(self) -> ClusterConfig:
        for part in ("litellm", "collector"):
            if getattr(self.parts, part) is not None and getattr(self.images, part) is None:
                raise ValueError(f"parts.{part} needs images.{part}")
        return self

    def pool(self, role: Role) -> PoolConfig | None:
        """The nodes of a role; None: the profile has none."""
        pool: PoolConfig | None = getattr(self.pools, role)
        return pool
