"""What must agree between the cluster and the rest of a profile. Each fault is one line that names its key.

Called by the whole tree's own check; knows no instance and no price.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs.schema.base import secrets_of
from configs.schema.cluster.section import ClusterConfig
from configs.schema.engines.embedders import AutoEmbedder, LocalEmbedder
from configs.schema.engines.models import LlamaCppModel, VllmModel
from configs.schema.engines.rerankers import LlamaCppReranker
from configs.schema.scaling import ScalingConfig

if TYPE_CHECKING:
    from configs.schema.platform import PlatformConfig


def check_cluster(config: PlatformConfig, cluster: ClusterConfig) -> None:
    """Raise ValueError with every fault, in one line; a profile that passes can be planned."""
    faults = [
        *_reservations(config),
        *_models(config, cluster),
        *_needs(config, cluster),
        *_state(config),
        *_parts(config, cluster),
        *_secrets(config, cluster),
    ]
    if faults:
        raise ValueError("; ".join(faults))


def _reservations(config: PlatformConfig) -> Iterator[str]:
    for key, scaling in _scalings(config):
        if scaling.num_cpus == 0:
            yield (
                f"{key}.scaling.num_cpus must be above 0 in a cluster: what reserves nothing lands anywhere, on Ray's "
                "head too"
            )


def _scalings(config: PlatformConfig) -> Iterator[tuple[str, ScalingConfig]]:
    yield "ingress", config.ingress.scaling
    yield "agent", config.agent.scaling
    yield from ((f"agents.{index}", agent.scaling) for index, agent in enumerate(config.agents))
    yield "knowledge", config.knowledge.scaling
    yield "embedder", config.embedder.scaling
    if config.reranker is not None:
        yield "reranker", config.reranker.scaling
    yield from ((f"models.{index}", model.scaling) for index, model in enumerate(config.models))


def _models(config: PlatformConfig, cluster: ClusterConfig) -> Iterator[str]:
    for index, model in enumerate(config.models):
        key = f"models.{index}"
        if model.optional:
            yield f"{key}.optional must be false in a cluster: what runs there does not depend on what is on a disk"
        if isinstance(model, LlamaCppModel) and cluster.pools.cpu is None:
            yield f"{key} is on llama.cpp and needs cluster.pools.cpu"
        if isinstance(model, VllmModel):
            yield from _vllm(key, model, cluster)
    if isinstance(config.embedder, AutoEmbedder):
        yield (
            "embedder.engine must be llamacpp or onnx in a cluster: auto measures on each machine, and replicas on "
            "different ones could differ"
        )


def _vllm(key: str, model: VllmModel, cluster: ClusterConfig) -> Iterator[str]:
    if model.device == "cpu":
        yield f"{key}.device is cpu, which no image has; in a cluster it is cuda or neuron"
    if model.device == "cuda":
        if cluster.pools.gpu is None:
            yield f"{key}.device is cuda and needs cluster.pools.gpu"
        if cluster.images.vllm is None:
            yield f"{key}.device is cuda and needs cluster.images.vllm"
    if model.device == "neuron":
        if cluster.pools.neuron is None:
            yield f"{key}.device is neuron and needs cluster.pools.neuron"
        if cluster.images.neuron is None:
            yield f"{key}.device is neuron and needs cluster.images.neuron"
        if model.neuron is None or model.neuron.instance_type is None:
            yield f"{key}.neuron.instance_type must be set in a cluster: what is compiled depends on it"


def _needs(config: PlatformConfig, cluster: ClusterConfig) -> Iterator[str]:
    """`cluster.replicas` names what there is, and says what models with weights need."""
    heavy = {model.name for model in config.models if isinstance(model, LlamaCppModel | VllmModel)}
    if isinstance(config.embedder, LocalEmbedder):
        heavy.add(config.embedder.name)
    if isinstance(config.reranker, LlamaCppReranker):
        heavy.add(config.reranker.name)
    known = heavy | {"ingress", "knowledge", config.agent.name, config.embedder.name}
    known |= {agent.name for agent in config.agents} | {model.name for model in config.models}
    known |= set() if config.reranker is None else {config.reranker.name}
    for name in cluster.replicas:
        if name not in known:
            yield f"cluster.replicas names {name!r}, which is none of: {', '.join(sorted(known))}"
    for name in sorted(heavy - set(cluster.replicas)):
        yield f"cluster.replicas.{name}.memory_gib must be set: the model has weights, and their size is not known here"
    for model in config.models:
        needs = cluster.replicas.get(model.name)
        has_devices = isinstance(model, VllmModel) and model.device != "cpu"
        if has_devices and needs is not None and needs.device_memory_gib is None:
            yield f"cluster.replicas.{model.name}.device_memory_gib must be set: the model runs on devices"
    for key, scaling in _scalings(config):
        needs = cluster.replicas.get(_name_of(config, key))
        expected = None if needs is None else needs.expected_replicas
        if expected is not None and not scaling.min_replicas <= expected <= scaling.max_replicas:
            yield (
                f"cluster.replicas.{_name_of(config, key)}.expected_replicas is {expected}, and {key}.scaling is from "
                f"{scaling.min_replicas} to {scaling.max_replicas}"
            )


def _name_of(config: PlatformConfig, key: str) -> str:
    """What `cluster.replicas` calls a deployment."""
    part, _, index = key.partition(".")
    if part in ("ingress", "knowledge"):
        return part
    found = getattr(config, part)
    name: str = found[int(index)].name if index else found.name
    return name


def _state(config: PlatformConfig) -> Iterator[str]:
    """What a pod keeps on its disk goes with the pod."""
    store = config.knowledge.store
    if store.kind != "opensearch" and not (store.kind == "milvus" and store.uri.startswith("http")):
        yield f"knowledge.store.kind is {store.kind}, which a pod would take with it; in a cluster it is a server"
    if config.sessions is not None and config.sessions.store == "embedded":
        yield "sessions.store is embedded, which a pod would take with it; in a cluster it is redis"
    keys = config.door.authentication.keys
    if keys is not None and keys.store == "embedded":
        yield "door.authentication.keys.store is embedded, which a pod would take with it; in a cluster it is redis"
    if not config.door.authentication.is_on:
        yield "door.authentication must be on in a cluster: everybody in it could ask"


def _parts(config: PlatformConfig, cluster: ClusterConfig) -> Iterator[str]:
    if cluster.parts.litellm is not None and config.litellm is None:
        yield "cluster.parts.litellm needs the section litellm: it says what the proxy serves"
    if cluster.parts.opensearch is not None and config.knowledge.store.kind != "opensearch":
        yield f"cluster.parts.opensearch is set, and knowledge.store.kind is {config.knowledge.store.kind}"


def _secrets(config: PlatformConfig, cluster: ClusterConfig) -> Iterator[str]:
    needed = secrets_of(config)
    if cluster.parts.litellm is None and config.litellm is not None:
        needed -= secrets_of(config.litellm)
    for name in sorted(needed - set(cluster.secrets)):
        yield f"cluster.secrets.{name} is missing: the profile names it as a secret, and nothing says where it is"
