"""Models that no node of a Ray can hold."""

from __future__ import annotations

from typing import Any

import pytest

from configs.schema import LocalFolder, VllmModel
from serve_app.engines.vllm.nodes import check_nodes
from serve_app.errors import ConfigError


def model(device: str, size: int = 1, name: str = "chat", **changes: Any) -> VllmModel:
    given: dict[str, Any] = {"engine": "vllm", "weights": LocalFolder(path="/m")}
    return VllmModel.model_validate(
        given | {"name": name, "device": device, "tensor_parallel_size": size, **changes}
    )


CPU_NODE = {"CPU": 8.0}
GPU_NODE = {"CPU": 8.0, "GPU": 2.0}


def test_what_fits_passes() -> None:
    check_nodes([model("cpu")], [CPU_NODE])
    check_nodes([model("cuda", 2), model("cpu")], [CPU_NODE, GPU_NODE])
    check_nodes([model("cuda", 2), model("cuda", 2, "large")], [GPU_NODE, GPU_NODE])
    check_nodes([model("neuron", 4)], [{"neuron_cores": 4.0}])


@pytest.mark.parametrize(
    ("models", "fault"),
    [
        ([model("cuda")], r"models\.chat\.device is cuda, and no node of this Ray has GPUs"),
        ([model("neuron")], r"models\.chat\.device is neuron, and no node of this Ray has NeuronCores"),
    ],
)
def test_a_device_that_no_node_has_is_named(models: list[VllmModel], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        check_nodes(models, [CPU_NODE])


def test_a_replica_never_spans_nodes() -> None:
    fault = r"models\.chat\.tensor_parallel_size is 4, and the largest node of this Ray has 2 GPUs"
    with pytest.raises(ConfigError, match=fault):
        check_nodes([model("cuda", 4)], [GPU_NODE, GPU_NODE])


def test_all_first_replicas_are_counted() -> None:
    two = model("cuda", 1, "small", scaling={"min_replicas": 2, "max_replicas": 2})
    asleep = model("cuda", 1, "asleep", scaling={"min_replicas": 0, "max_replicas": 1})
    check_nodes([two], [GPU_NODE])
    with pytest.raises(
        ConfigError, match=r"need 3 GPUs \(models\.small\.\S+, models\.asleep\.\S+\), and .* have 2"
    ):
        check_nodes([two, asleep], [GPU_NODE])
