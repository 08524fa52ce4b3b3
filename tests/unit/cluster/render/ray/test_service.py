"""The RayService: what Ray may promise is what Kubernetes gives, and the application is the profile's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from cluster.render import names
from cluster.render.ray.serve_config import serve_config
from cluster.render.ray.service import ray_service
from cluster.serve_variables import SERVE_VARIABLES
from configs.load import parse_platform

Planned = Callable[..., Any]


def service(made: Any) -> dict[str, Any]:
    (found,) = ray_service(made.config, made.plan)
    return found


def groups(made: Any) -> dict[str, dict[str, Any]]:
    specs = service(made)["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    return {spec["groupName"]: spec for spec in specs}


def container(spec: dict[str, Any]) -> dict[str, Any]:
    (found,) = spec["template"]["spec"]["containers"]
    return found


def test_serve_reads_the_profile_without_the_cluster(each: Any) -> None:
    config = yaml.safe_load(service(each)["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    assert not {"cluster", "litellm"} & set(application["args"])
    without = each.config.model_copy(update={"cluster": None, "litellm": None})
    assert parse_platform(application["args"]) == without
    assert application["import_path"] == "serve_app.app:build"
    assert config["http_options"] == {"host": "0.0.0.0", "port": 8000}


def test_serves_own_schema_takes_it(each: Any) -> None:
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(serve_config(each.config, each.plan))


def test_deployments_are_those_that_the_application_builds(each: Any) -> None:
    """Serve refuses a config that names a deployment which is not there."""
    from serve_app.app import build

    (application,) = serve_config(each.config, each.plan)["applications"]
    built = build(application["args"])
    names_built = set()
    stack = [built]
    while stack:
        node = stack.pop()
        deployment = node._bound_deployment
        names_built.add(deployment.name)
        for value in (*deployment.init_args, *deployment.init_kwargs.values()):
            stack.extend(bound(value))
    assert {one["name"] for one in application["deployments"]} == names_built


def bound(value: Any) -> list[Any]:
    """Applications in an argument."""
    if hasattr(value, "_bound_deployment"):
        return [value]
    if isinstance(value, dict):
        return [one for inner in value.values() for one in bound(inner)]
    if isinstance(value, list | tuple):
        return [one for inner in value for one in bound(inner)]
    return []


def test_no_work_is_on_the_head(each: Any) -> None:
    head = service(each)["spec"]["rayClusterConfig"]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    (application,) = serve_config(each.config, each.plan)["applications"]
    for deployment in application["deployments"]:
        options = deployment["ray_actor_options"]
        assert options["num_cpus"] > 0
        assert options["label_selector"][names.RAY_GROUP_LABEL] in groups(each)
    assert service(each)["spec"]["excludeHeadPodFromServeSvc"] is True


def test_ray_promises_what_the_pod_has(each: Any) -> None:
    for planned_group in each.plan.groups:
        spec = groups(each)[planned_group.name]
        limits = container(spec)["resources"]["limits"]
        assert container(spec)["resources"]["requests"] == limits
        assert spec["resources"]["CPU"] == limits["cpu"]
        assert spec["resources"].get("GPU") == limits.get("nvidia.com/gpu")
        assert int(spec["resources"]["memory"]) < planned_group.pod.memory_bytes
        assert not {"num-cpus", "num-gpus", "memory", "resources"} & set(spec["rayStartParams"])
        assert spec["labels"] == {names.RAY_GROUP_LABEL: planned_group.name}
        assert spec["minReplicas"] <= spec["replicas"] <= spec["maxReplicas"]


def test_neuron_cores_are_asked_for_by_chips(planned: Planned) -> None:
    spec = groups(planned("eks-neuron"))["model-llama-3-1-8b-instruct"]
    assert spec["resources"]["neuron_cores"] == "4"
    assert container(spec)["resources"]["limits"]["aws.amazon.com/neuron"] == "2"


def test_devices_go_to_instances_whose_memory_holds_the_model(planned: Planned) -> None:
    affinity = groups(planned("eks-gpu"))["model-qwen3-8b"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    (wanted,) = term["matchExpressions"]
    assert wanted["key"] == "node.kubernetes.io/instance-type"
    assert all(name.startswith("g6e.") for name in wanted["values"])


def test_pods_end_later_than_they_drain(each: Any) -> None:
    for group in each.plan.groups:
        spec = groups(each)[group.name]
        command = container(spec)["lifecycle"]["preStop"]["exec"]["command"][-1]
        assert f"--deadline-remaining-seconds {group.drain_s:.0f}" in command
        assert command.endswith(f"sleep {group.drain_s:.0f}")
        assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > group.drain_s + 20


def test_karpenter_leaves_what_is_dear_alone(planned: Planned) -> None:
    made = planned("eks-gpu")
    head = service(made)["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["metadata"]
    assert head["annotations"] == {"karpenter.sh/do-not-disrupt": "true"}
    assert "annotations" in groups(made)["model-qwen3-8b"]["template"]["metadata"]
    assert "annotations" not in groups(made)["ingress"]["template"]["metadata"]
    assert "annotations" not in groups(made)["embedder"]["template"]["metadata"]


def test_each_cluster_of_ray_is_spread_for_itself(each: Any) -> None:
    for name, spec in groups(each).items():
        (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
        assert spread["topologyKey"] == "topology.kubernetes.io/zone"
        assert spread["labelSelector"]["matchLabels"] == {names.GROUP_LABEL: name}
        assert (
            spread["labelSelector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
        )


def test_state_outlives_the_head(each: Any) -> None:
    state = service(each)["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert state["redisAddress"] == "rediss://manta.redis.internal.example.com:6379"
    reference = state["redisPassword"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": names.APPLICATION_SECRET, "key": "MANTA_REDIS_PASSWORD"}
    # A name of our own would be shared by the two clusters of an upgrade.
    assert "externalStorageNamespace" not in state


def test_a_new_version_takes_over_by_steps_where_a_gateway_can(planned: Planned) -> None:
    strategy = service(planned("eks-gpu"))["spec"]["upgradeStrategy"]
    assert strategy["type"] == "NewClusterWithIncrementalUpgrade"
    assert strategy["clusterUpgradeOptions"] == {
        "gatewayClassName": "istio",
        "maxSurgePercent": 100,
        "stepSizePercent": 10,
        "intervalSeconds": 30,
    }
    assert service(planned("eks-graviton"))["spec"]["upgradeStrategy"] == {"type": "NewCluster"}


def test_the_old_cluster_stays_for_the_longest_request(each: Any) -> None:
    delay = service(each)["spec"]["rayClusterDeletionDelaySeconds"]
    assert delay >= each.config.ingress.max_deadline_s


def test_serves_fast_path_is_on_in_every_pod(each: Any) -> None:
    cluster = service(each)["spec"]["rayClusterConfig"]
    for spec in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        variables = {one["name"]: one["value"] for one in container(spec)["env"]}
        assert variables.items() >= SERVE_VARIABLES.items()
        assert variables["MANTA_HOME"] == names.HOME_PATH


def test_images_are_by_digest_and_name_rays_version(each: Any) -> None:
    cluster = service(each)["spec"]["rayClusterConfig"]
    for spec in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        image = container(spec)["image"]
        assert f"ray{cluster['rayVersion']}@sha256:" in image


def test_the_operators_own_selector_is_left_alone(each: Any) -> None:
    """KubeRay's Service of the head selects by the value that it gives to this label itself."""
    cluster = service(each)["spec"]["rayClusterConfig"]
    for spec in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert "app.kubernetes.io/name" not in spec["template"]["metadata"]["labels"]
