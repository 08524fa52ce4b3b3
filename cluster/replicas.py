"""The deployments of a profile as a cluster sees them: what one replica takes, and how many there are. Pure.

Knows the names that `serve_app.app` gives to deployments, and nothing of pods or instances.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from cluster.plan_types import GIB, Replica
from cluster.section import cluster_of
from configs.schema import (
    LlamaCppModel,
    LlamaCppReranker,
    LocalEmbedder,
    ModelConfig,
    PlatformConfig,
    ReplicaConfig,
    ScalingConfig,
    VllmModel,
)
from configs.schema.cluster.section import Role
from configs.schema.engines.neuron import NeuronConfig

_DEVICE_ROLES: dict[str, Role] = {"cpu": "cpu", "cuda": "gpu", "neuron": "neuron"}


def replicas_of(config: PlatformConfig) -> tuple[Replica, ...]:
    """Every deployment, in the order in which requests meet them."""
    return tuple(_deployments(config))


def _deployments(config: PlatformConfig) -> Iterator[Replica]:
    needs = cluster_of(config).replicas

    def made(deployment: str, name: str, key: str, role: Role, scaling: ScalingConfig) -> Replica:
        return _replica(deployment, name, key, role, scaling, needs.get(name, ReplicaConfig()))

    yield made("Ingress", "ingress", "ingress", "ingress", config.ingress.scaling)
    yield made("Agent", config.agent.name, "agent", "ingress", config.agent.scaling)
    for index, agent in enumerate(config.agents):
        yield made(
            f"Agent-{agent.name.replace('/', '-')}", agent.name, f"agents.{index}", "ingress", agent.scaling
        )
    yield made("KnowledgeBase", "knowledge", "knowledge", "ingress", config.knowledge.scaling)
    embedder = config.embedder
    role: Role = "embedding" if isinstance(embedder, LocalEmbedder) else "ingress"
    yield made("Embedder", embedder.name, "embedder", role, embedder.scaling)
    if config.reranker is not None:
        role = "embedding" if isinstance(config.reranker, LlamaCppReranker) else "ingress"
        yield made("Reranker", config.reranker.name, "reranker", role, config.reranker.scaling)
    for index, model in enumerate(config.models):
        deployment = f"Model-{model.name.replace('/', '-')}"
        replica = made(deployment, model.name, f"models.{index}", role_of(model), model.scaling)
        yield _with_devices(replica, model) if isinstance(model, VllmModel) else replica


def role_of(model: ModelConfig) -> Role:
    """Where a model runs; those that compute nothing themselves stand beside the ingress."""
    if isinstance(model, VllmModel):
        return _DEVICE_ROLES[model.device]
    return "cpu" if isinstance(model, LlamaCppModel) else "ingress"


def _replica(
    deployment: str, name: str, key: str, role: Role, scaling: ScalingConfig, needs: ReplicaConfig
) -> Replica:
    least, most = scaling.min_replicas, scaling.max_replicas
    expected = needs.expected_replicas
    return Replica(
        deployment=deployment,
        name=name,
        key=key,
        role=role,
        num_cpus=scaling.num_cpus,
        memory_bytes=int(needs.memory_gib * GIB),
        num_gpus=0,
        num_neuron_cores=0,
        device_memory_gib=needs.device_memory_gib,
        cache_bytes=int(needs.cache_gib * GIB),
        min_replicas=least,
        expected_replicas=math.ceil((least + most) / 2) if expected is None else expected,
        max_replicas=most,
        # Serve's own rounding: DeploymentState._surge_replicas_to_start of Ray 2.60.
        peak_replicas=most + (scaling.max_surge_percent * most + 99) // 100,
        drain_s=scaling.graceful_shutdown_timeout_s,
        start_s=needs.start_s,
    )


def _with_devices(replica: Replica, model: VllmModel) -> Replica:
    if model.device == "cuda":
        return replace(
            replica, num_gpus=model.tensor_parallel_size, memory_share=model.gpu_memory_utilization
        )
    neuron = model.neuron or NeuronConfig()
    return replace(
        replica,
        num_neuron_cores=model.tensor_parallel_size,
        instance_type=neuron.instance_type,
        logical_core_size=neuron.logical_core_size,
    )
