"""Whether the nodes of a Ray can hold the models' replicas at all. Pure; knows nothing of Ray.

Ray itself waits for a node that can, for ever where none is on its way, and names no key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from configs.schema import VllmModel
from serve_app.engines.vllm.keys import key
from serve_app.errors import ConfigError

# Device -> what Ray calls it, and what people do.
_RESOURCES = {"cuda": ("GPU", "GPUs"), "neuron": ("neuron_cores", "NeuronCores")}


def check_nodes(models: Sequence[VllmModel], nodes: Sequence[Mapping[str, float]]) -> None:
    """Return if each device's first replicas find room.

    Args:
        models: to be served.
        nodes: what each node has in all, by Ray's names; no more will come.

    Raises:
        ConfigError: a replica is larger than every node, or together they are larger than all.
    """
    for device, (resource, people_say) in _RESOURCES.items():
        sizes = [node.get(resource, 0.0) for node in nodes]
        wanted = [model for model in models if model.device == device]
        for model in wanted:
            _check_one(model, max(sizes, default=0.0), people_say)
        needed = sum(max(1, model.scaling.min_replicas) * model.tensor_parallel_size for model in wanted)
        if needed > sum(sizes):
            named = ", ".join(key(model, "tensor_parallel_size") for model in wanted)
            raise ConfigError(
                f"the first replicas of all models need {needed} {people_say} ({named}), and the nodes of this Ray "
                f"have {sum(sizes):g}"
            )


def _check_one(model: VllmModel, largest: float, people_say: str) -> None:
    if largest == 0:
        raise ConfigError(
            f"{key(model, 'device')} is {model.device}, and no node of this Ray has {people_say}; add one that has, "
            "or choose another device"
        )
    if model.tensor_parallel_size > largest:
        raise ConfigError(
            f"{key(model, 'tensor_parallel_size')} is {model.tensor_parallel_size}, and the largest node of this Ray "
            f"has {largest:g} {people_say}; a replica never spans nodes"
        )
