"""From a profile to its cluster: numbers that a person can check, and refusals that name what is short by how much."""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cluster.costs import quota_of
from cluster.groups import nodes_of
from cluster.packing import num_bins
from cluster.plan import RAY_VERSION, plan
from cluster.plan_types import GIB, ClusterPlan
from configs.instances import INSTANCES
from configs.load import Profile, ProfileError, parse_platform, read_profile
from serve_app.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


@cache
def document_of(name: str) -> str:
    profile = read_profile(ROOT / "configs" / f"{name}.yaml")
    return json.dumps(profile.platform.model_dump(mode="json", exclude_unset=True))


def planned(name: str, change: Any = None, **profile: Any) -> ClusterPlan:
    """The plan of a profile after `change` has had its document in hands."""
    document = json.loads(document_of(name))
    if change is not None:
        change(document)
    made = Profile(
        path=Path(f"{name}.yaml"),
        app_name="manta",
        route_prefix="/",
        host="0.0.0.0",
        port=8000,
        platform=parse_platform(document),
    )
    return plan(dataclasses.replace(made, **profile))


def test_a_model_on_a_gpu_goes_where_its_memory_is() -> None:
    group = planned("eks-gpu").group("model-qwen3-8b")
    assert (group.role, group.image, group.pod.num_gpus) == ("gpu", "vllm", 1)
    assert group.best.instance.name == "g6e.xlarge"
    assert {fit.instance.family for fit in group.fits} == {"g6e"}
    why = {misfit.instance.name: misfit.shortfalls for misfit in group.misfits}
    # One L4 of 22,888 MiB, of which vLLM takes 0.92.
    assert why["g6.2xlarge"] == ("device memory: 32 GiB needed, 20.56 GiB there, short by 11.44 GiB",)


def test_four_gpus_are_one_nodes() -> None:
    group = planned("eks-gpu").group("model-qwen3-32b")
    assert {fit.instance.num_gpus for fit in group.fits} == {4, 8}
    assert {fit.instance.name: fit.pods_per_node for fit in group.fits}["g6e.48xlarge"] == 2
    assert (group.min_pods, group.max_pods, group.peak_pods) == (0, 1, 1)


def test_neuron_cores_go_by_whole_chips_and_by_the_type_that_is_named() -> None:
    group = planned("eks-neuron").group("model-llama-3-1-8b-instruct")
    assert [fit.instance.name for fit in group.fits] == ["inf2.24xlarge"]
    assert group.fits[0].pods_per_node == 3  # 6 chips of 2 cores, and 4 cores a pod
    assert group.pod.num_neuron_cores == 4

    def one_core(document: Any) -> None:
        document["models"][0]["tensor_parallel_size"] = 1
        document["models"][0]["scaling"]["num_cpus"] = 4
        document["cluster"]["replicas"]["llama-3.1-8b-instruct"].update(
            device_memory_gib=12, memory_gib=20, cache_gib=30
        )

    # A core alone takes its whole chip.
    assert planned("eks-neuron", one_core).groups[-1].fits[0].pods_per_node == 6


def test_what_the_engine_refuses_the_plan_refuses() -> None:
    def indivisible(document: Any) -> None:
        document["models"][0]["tensor_parallel_size"] = 8

    with pytest.raises(ConfigError, match=r"the 12 NeuronCores of inf2\.24xlarge do not divide by it"):
        planned("eks-neuron", indivisible)


def test_replicas_beside_the_ingress_share_pods() -> None:
    made = planned("eks-graviton")
    ingress = made.group("ingress")
    assert {one.deployment for one in ingress.replicas} == {
        "Ingress",
        "Agent",
        "KnowledgeBase",
        "Model-extractive",
    }
    # Ingress 3 x 1, Agent, KnowledgeBase and extractive 2 x 0.5: six CPUs in pods of three, but three zones.
    assert (ingress.pod.num_cpus, ingress.min_pods) == (3, 3)
    # 9 + 4 + 3 + 2 = 18 CPUs at most, and twice that while everything is replaced.
    assert (ingress.max_pods, ingress.peak_pods) == (6, 12)


def test_pods_tell_ray_less_memory_than_they_have() -> None:
    for name in ("eks-graviton", "eks-gpu", "eks-neuron"):
        for group in planned(name).groups:
            pod = group.pod
            assert pod.ray_memory_bytes + pod.object_store_bytes + int(1.5 * GIB) <= pod.memory_bytes
            assert sum(one.num_cpus for one in group.replicas[:1]) <= pod.num_cpus


def test_nodes_are_bought_whole_and_one_a_zone() -> None:
    assert nodes_of(0, 4, 3) == 0
    assert nodes_of(2, 4, 3) == 2
    assert nodes_of(12, 4, 3) == 3
    assert nodes_of(13, 4, 3) == 4


def test_pods_of_several_sizes_share_a_node() -> None:
    room = (3.0, 12)
    assert num_bins([], room) == 0
    assert num_bins([(1.0, 1)] * 3 + [(0.5, 1)] * 6, room) == 2
    # Nine CPUs would do in three, but no two of two CPUs stand in one.
    assert num_bins([(2.0, 2)] * 4 + [(1.0, 8)], room) == 4
    assert num_bins([(0.5, 8)] * 3, room) == 3


def test_opensearch_and_litellm_stand_on_nodes_that_hold_them_whole() -> None:
    def large(document: Any) -> None:
        document["cluster"]["pools"]["system"].update(max_vcpus_per_node=4, max_nodes=30)
        document["cluster"]["parts"]["opensearch"] = {"nodes": 5, "cpus": 2, "memory_gib": 8}
        document["cluster"]["parts"]["litellm"] = {"replicas": 2, "max_replicas": 2, "cpus": 2}
        document["cluster"]["parts"]["collector"] = {"replicas": 1}

    (pool,) = [pool for pool in planned("eks-graviton", large).pools if pool.role == "system"]
    # Of 3.62 CPUs each: 14.5 CPUs would do with five, and none of the seven of 2 CPUs shares with another.
    assert pool.instance_types[0].num_vcpus == 4
    assert pool.max_nodes == 7


def test_places_that_are_kept_free_are_nodes_and_money_and_quota() -> None:
    def warm(document: Any) -> None:
        document["cluster"]["pools"]["gpu"].update(buffer_pods=1, max_nodes=20)

    cold, kept = planned("eks-gpu"), planned("eks-gpu", warm)
    before, after = (next(pool for pool in made.pools if pool.role == "gpu") for made in (cold, kept))
    for count in ("min_nodes", "expected_nodes", "max_nodes", "peak_nodes"):
        assert getattr(after, count) == getattr(before, count) + 2  # one for each of the two models
    by_name = {line.name: line for line in kept.costs}
    assert by_name["model-qwen3-32b"].minimum.on_demand == pytest.approx(
        10.49264
    )  # asleep, and a place for it
    assert by_name["model-qwen3-8b"].maximum.on_demand == pytest.approx(5 * 1.861)
    vcpus = {need.code: need.num_vcpus for need in kept.quotas}
    assert vcpus["L-DB2E81BA"] == (5 + 1) * 4 + 2 * 48
    assert kept.group("model-qwen3-8b").peak_pods == cold.group("model-qwen3-8b").peak_pods


def test_no_places_are_kept_where_no_workers_run() -> None:
    def warm_head(document: Any) -> None:
        document["cluster"]["pools"]["head"]["buffer_pods"] = 1

    with pytest.raises(ProfileError, match=r"head\.buffer_pods"):
        planned("eks-gpu", warm_head)


def test_money_is_nodes_times_price() -> None:
    made = planned("eks-graviton")
    by_name = {line.name: line for line in made.costs}
    embedder = by_name["embedder"]  # two to six of c8g.xlarge at 0.15952, on spot 0.42 of it
    assert embedder.minimum.on_demand == pytest.approx(2 * 0.15952)
    assert embedder.maximum.spot == pytest.approx(6 * 0.15952 * 0.42)
    assert by_name["head"].expected.spot == by_name["head"].expected.on_demand
    for amount in ("minimum", "expected", "maximum"):
        parts = [getattr(line, amount).on_demand for line in made.costs]
        assert getattr(made.total, amount).on_demand == pytest.approx(sum(parts))
    assert made.total.minimum.on_demand < made.total.expected.on_demand < made.total.maximum.on_demand  # type: ignore[operator]


def test_a_price_that_nobody_knows_is_no_zero() -> None:
    def elsewhere(document: Any) -> None:
        document["cluster"]["region"] = "eu-central-1"

    made = planned("eks-gpu", elsewhere)
    assert made.total.expected.on_demand is None
    assert made.group("model-qwen3-8b").best.usd_per_hour is None

    def with_one_price(document: Any) -> None:
        elsewhere(document)
        document["cluster"]["usd_per_hour"] = {"g6e.xlarge": 2.33}

    priced = planned("eks-gpu", with_one_price)
    assert {line.name: line.expected.on_demand for line in priced.costs}["model-qwen3-8b"] == pytest.approx(
        4.66
    )
    assert priced.total.expected.on_demand is None


def test_a_model_that_fits_nowhere_says_what_is_short_by_how_much() -> None:
    def too_large(document: Any) -> None:
        document["cluster"]["replicas"]["qwen3-8b"]["device_memory_gib"] = 80

    with pytest.raises(ConfigError) as caught:
        planned("eks-gpu", too_large)
    message = str(caught.value)
    assert message.startswith(
        "models.0 (qwen3-8b) fits no instance type of cluster.pools.gpu; nearest is g6e."
    )
    assert "device memory: 80 GiB needed, 41.13 GiB there, short by 38.87 GiB" in message
    assert "\n" not in message


def test_replicas_beyond_the_nodes_are_refused() -> None:
    def too_many(document: Any) -> None:
        document["models"][0]["scaling"]["max_replicas"] = 20

    with pytest.raises(
        ConfigError, match=r"cluster\.pools\.gpu\.max_nodes is 8, .*max_replicas 20.*short by 18"
    ):
        planned("eks-gpu", too_many)


def test_a_replica_larger_than_the_shared_pod_is_refused() -> None:
    def fat(document: Any) -> None:
        document["cluster"]["replicas"]["ingress"]["memory_gib"] = 11

    with pytest.raises(
        ConfigError, match=r"replicas\.ingress\.memory_gib is 11, .* has 10 GiB .*short by 1\.00 GiB"
    ):
        planned("eks-graviton", fat)

    def wide(document: Any) -> None:
        document["agent"]["scaling"]["num_cpus"] = 4

    with pytest.raises(ConfigError, match=r"agent\.scaling\.num_cpus is 4, .*pod_cpus is 3: short by 1"):
        planned("eks-graviton", wide)


def test_a_pool_that_allows_nothing_is_told() -> None:
    def tiny(document: Any) -> None:
        document["cluster"]["pools"]["cpu"]["max_vcpus_per_node"] = 1

    with pytest.raises(ConfigError, match="allows no instance type at all"):
        planned("eks-graviton", tiny)


def test_two_models_whose_groups_would_have_one_name_are_refused() -> None:
    def twin(document: Any) -> None:
        model = copy.deepcopy(document["models"][0])
        model["name"] = "qwen3_8b"
        document["models"].append(model)
        document["cluster"]["replicas"]["qwen3_8b"] = document["cluster"]["replicas"]["qwen3-8b"]

    with pytest.raises(
        ConfigError, match=r"models\.0 and models\.3 would both be the worker group model-qwen3-8b"
    ):
        planned("eks-gpu", twin)


def test_a_profile_without_a_cluster_is_refused() -> None:
    with pytest.raises(ProfileError, match="the profile has no `cluster`"):
        plan(read_profile(ROOT / "configs" / "local.yaml"))


def test_another_port_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"http_options\.port is 9000; in a cluster it is 8000"):
        planned("eks-gpu", port=9000)


def test_lines_of_the_profile_are_told_with_what_they_force() -> None:
    forced = {one.key: one.consequence for one in planned("eks-gpu").forced}
    assert "4 GPUs a pod" in forced["models.1.tensor_parallel_size"]
    assert "g6.xlarge" in forced["cluster.replicas.qwen3-8b.device_memory_gib"]
    assert "10 % every 30 s" in forced["cluster.entrance.kind"]
    assert "two minutes" in forced["cluster.pools.embedding.capacity"]


def test_what_is_likely_not_meant_is_told() -> None:
    def doubtful(document: Any) -> None:
        document["models"][1]["scaling"]["autoscaler"]["cold_start_timeout_s"] = 60
        document["models"][0]["start_timeout_s"] = 100
        document["ingress"]["scaling"]["graceful_shutdown_timeout_s"] = 20
        document["embedder"]["scaling"]["min_replicas"] = 1
        document["cluster"]["pools"]["embedding"]["capacity"] = ["spot"]
        document["litellm"]["num_workers"] = 4

    told = {one.key: one.consequence for one in planned("eks-gpu", doubtful).warnings}
    assert "940 s" in told["models.1.scaling.autoscaler.cold_start_timeout_s"]
    assert "280 s" in told["models.0.start_timeout_s"]
    assert "120 s" in told["ingress.scaling.graceful_shutdown_timeout_s"]
    assert "nothing of all-minilm-l6-v2 answers" in told["embedder.scaling.min_replicas"]
    assert "spot alone" in told["cluster.pools.embedding.capacity"]
    assert "one of a pod's processes" in told["litellm.num_workers"]
    assert "zeros" in told["cluster.images.vllm"]


@pytest.mark.parametrize("name", ["eks-graviton", "eks-gpu", "eks-neuron"])
def test_the_profiles_leave_only_their_images_to_be_named(name: str) -> None:
    assert {one.key.rpartition(".")[0] for one in planned(name).warnings} == {"cluster.images"}


def test_quotas_are_vcpus_at_the_peak() -> None:
    needs = {need.code: need.num_vcpus for need in planned("eks-gpu").quotas}
    # Five of g6e.xlarge while qwen3-8b is replaced, or four and one; qwen3-32b on one g6e.12xlarge.
    assert needs["L-DB2E81BA"] == 5 * 4 + 48
    assert needs["L-34B43A08"] == 16 * 4  # the embedder, on spot
    assert quota_of(INSTANCES["inf2.xlarge"], is_spot=False)[0] == "L-1945791B"
    assert quota_of(INSTANCES["p4de.24xlarge"], is_spot=True)[0] == "L-7212CCBC"
    assert quota_of(INSTANCES["p5en.48xlarge"], is_spot=True)[0] == "L-C4BD4855"
    assert quota_of(INSTANCES["p5en.48xlarge"], is_spot=False)[0] == "L-417A185B"


def test_pools_have_room_for_their_groups() -> None:
    for name in ("eks-graviton", "eks-gpu", "eks-neuron"):
        made = planned(name)
        for pool in made.pools:
            assert pool.min_nodes <= pool.expected_nodes <= pool.max_nodes <= pool.peak_nodes
            mine = [group for group in (made.head, *made.groups) if group.role == pool.role]
            for group in mine:
                assert {fit.instance for fit in group.fits} <= set(pool.instance_types)
                assert (
                    group.best.instance.num_vcpus * math.ceil(group.peak_pods / group.best.pods_per_node)
                    <= pool.max_vcpus
                )


def test_a_start_from_nothing_is_the_sum_of_its_parts() -> None:
    cold = planned("eks-gpu").group("model-qwen3-8b").cold_start
    assert (cold.node_s, cold.image_s, cold.weights_s, cold.start_s) == (120, 180, 160, 120)
    assert cold.total_s == 580


def test_waves_are_in_the_order_of_their_numbers() -> None:
    waves = planned("eks-gpu").waves
    assert [wave.name[:2] for wave in waves] == [f"{wave.number:02}" for wave in waves]


def test_rays_version_is_the_installed_one() -> None:
    assert importlib.metadata.version("ray") == RAY_VERSION
