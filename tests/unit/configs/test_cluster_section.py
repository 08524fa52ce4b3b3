"""The `cluster` section: what a laptop ignores, and what a platform engineer is told before anything is planned."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from configs.load import ProfileError, parse_platform, read_profile

ROOT = Path(__file__).resolve().parents[3]


@cache
def document_of(name: str) -> str:
    profile = read_profile(ROOT / "configs" / f"{name}.yaml")
    return json.dumps(profile.platform.model_dump(mode="json", exclude_unset=True))


def refused(name: str, change: Callable[[Any], object]) -> str:
    document = json.loads(document_of(name))
    change(document)
    with pytest.raises(ProfileError) as caught:
        parse_platform(document)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["cluster"].update(region="us-east-9"), "region 'us-east-9' is none of"),
        (lambda d: d["cluster"].update(zones=["a", "b"]), "cluster.zones"),
        (lambda d: d["cluster"].update(zones=["a", "b", "b"]), "names a zone twice"),
        (lambda d: d["cluster"].update(shape="round"), "cluster.shape: Extra inputs are not permitted"),
        (lambda d: d["cluster"]["images"].update(cpu="manta:latest"), "cluster.images.cpu"),
        (
            lambda d: d["cluster"]["pools"]["gpu"].update(instance_families=["g99"]),
            "'g99', which Manta has no facts",
        ),
        (lambda d: d["cluster"]["pools"]["gpu"].update(instance_families=["g6", "g6"]), "names 'g6' twice"),
        (lambda d: d["cluster"]["pools"]["head"].update(capacity=["spot"]), "not for the head"),
        (lambda d: d["cluster"]["pools"].pop("gpu"), "models.0.device is cuda and needs cluster.pools.gpu"),
        (
            lambda d: d["cluster"]["images"].pop("vllm"),
            "models.0.device is cuda and needs cluster.images.vllm",
        ),
        (
            lambda d: d["cluster"]["replicas"].pop("qwen3-8b"),
            "cluster.replicas.qwen3-8b.memory_gib must be set",
        ),
        (
            lambda d: d["cluster"]["replicas"]["qwen3-8b"].pop("device_memory_gib"),
            "cluster.replicas.qwen3-8b.device_memory_gib must be set",
        ),
        (lambda d: d["cluster"]["replicas"].update(qwen={"memory_gib": 1}), "names 'qwen', which is none of"),
        (
            lambda d: d["cluster"]["replicas"]["qwen3-8b"].update(expected_replicas=9),
            "expected_replicas is 9, and models.0.scaling is from 1 to 4",
        ),
        (
            lambda d: d["cluster"]["secrets"].pop("MANTA_REDIS_PASSWORD"),
            "cluster.secrets.MANTA_REDIS_PASSWORD is missing",
        ),
        (lambda d: d["agent"]["scaling"].update(num_cpus=0), "agent.scaling.num_cpus must be above 0"),
        (lambda d: d["models"][2].update(optional=True), "models.2.optional must be false"),
        (lambda d: d["models"][0].update(device="cpu"), "models.0.device is cpu, which no image has"),
        (lambda d: d["embedder"].update(engine="auto"), "embedder.engine must be llamacpp or onnx"),
        (lambda d: d["sessions"].update(store="embedded"), "sessions.store is embedded"),
        (lambda d: d["door"]["authentication"]["keys"].update(store="embedded"), "keys.store is embedded"),
        (lambda d: d["door"].pop("authentication"), "door.authentication must be on"),
        (lambda d: d.pop("litellm"), "cluster.parts.litellm needs the section litellm"),
        (
            lambda d: d["cluster"]["entrance"].update(kind="nodeport"),
            "cluster.entrance",
        ),
    ],
)
def test_what_cannot_be_a_cluster_is_refused_by_name(change: Callable[[Any], object], told: str) -> None:
    assert told in refused("eks-gpu", change)


def test_a_store_on_a_pods_disk_is_refused() -> None:
    def embedded(document: Any) -> None:
        document["knowledge"]["store"] = {"kind": "lancedb"}
        document["knowledge"]["scaling"].update(min_replicas=1, max_replicas=1)

    assert "knowledge.store.kind is lancedb, which a pod would take with it" in refused("eks-gpu", embedded)


def test_neuron_cores_need_their_instance_type() -> None:
    message = refused("eks-neuron", lambda d: d["models"][0]["neuron"].pop("instance_type"))
    assert "models.0.neuron.instance_type must be set in a cluster" in message


def test_every_fault_is_told_at_once() -> None:
    def several(document: Any) -> None:
        document["cluster"]["secrets"] = {}
        document["cluster"]["replicas"] = {}

    message = refused("eks-graviton", several)
    assert message.count("cluster.secrets.") == 5
    assert message.count("memory_gib must be set") == 2


def test_without_its_part_the_gateways_secrets_are_nobodys() -> None:
    document = json.loads(document_of("eks-neuron"))
    document["cluster"]["parts"].pop("litellm")
    for name in ("LITELLM_MASTER_KEY", "LITELLM_DATABASE_URL"):
        document["cluster"]["secrets"].pop(name)
    assert parse_platform(document).cluster is not None
