"""Whatever valid profile is rendered, its objects agree with each other; what cannot be is refused in one line."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from cluster.lint.findings import Severity
from cluster.lint.lint import lint
from cluster.lint.quantities import amount
from cluster.render.files import write
from cluster.render.tree import render
from configs.load import ProfileError, parse_platform, read_profile
from serve_app.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "@sha256:" + "0" * 64
GIB = 2**30


@cache
def base() -> str:
    profile = read_profile(ROOT / "configs" / "eks-gpu.yaml")
    return json.dumps(profile.platform.model_dump(mode="json", exclude_unset=True))


class Made(NamedTuple):
    """A model of a profile, and what its replicas need."""

    model: dict[str, Any]
    needs: dict[str, Any]


@st.composite
def scalings(draw: st.DrawFn, num_cpus: st.SearchStrategy[float]) -> dict[str, Any]:
    least = draw(st.integers(0, 3))
    return {
        "num_cpus": draw(num_cpus),
        "min_replicas": least,
        "max_replicas": draw(st.integers(max(1, least), 6)),
        "max_surge_percent": draw(st.sampled_from([0, 25, 34, 100])),
        "graceful_shutdown_timeout_s": draw(st.integers(1, 180)),
    }


@st.composite
def models(draw: st.DrawFn, index: int) -> Made:
    kind = draw(st.sampled_from(["llamacpp", "cuda", "neuron", "extractive"]))
    name = f"{kind}-{index}"
    needs: dict[str, Any] = {
        "memory_gib": draw(st.integers(1, 40)),
        "cache_gib": draw(st.integers(0, 60)),
    }
    if kind == "extractive":
        scaling = draw(scalings(st.sampled_from([0.25, 0.5, 1.0])))
        return Made({"name": name, "engine": "extractive", "scaling": scaling}, {"memory_gib": 1})
    model: dict[str, Any] = {"name": name, "scaling": draw(scalings(st.integers(1, 12).map(float)))}
    if kind == "llamacpp":
        return Made(model | {"engine": "llamacpp", "weights": {"catalogue": "qwen2.5-1.5b-instruct"}}, needs)
    tensor = draw(st.sampled_from([1, 2, 4, 8]))
    needs["device_memory_gib"] = draw(st.integers(4, 40 * tensor))
    model |= {
        "engine": "vllm",
        "device": kind,
        "tensor_parallel_size": tensor,
        "weights": {"url": f"s3://models/{name}"},
    }
    if kind == "neuron":
        model["neuron"] = {
            "instance_type": draw(st.sampled_from(["inf2.8xlarge", "inf2.24xlarge", "inf2.48xlarge"]))
        }
    return Made(model, needs)


@st.composite
def profiles(draw: st.DrawFn) -> dict[str, Any]:
    """Documents that are valid profiles, most of them ones that can be planned."""
    document: dict[str, Any] = json.loads(base())
    cluster = document["cluster"]
    made = [draw(models(index)) for index in range(draw(st.integers(1, 3)))]
    document["models"] = [one.model for one in made] + [document["models"][-1]]
    document["agent"]["models"] = ["extractive"]
    for part in ("agents", "tools"):
        document.pop(part)
    document["sessions"].pop("summary_model")
    cluster["replicas"] = {one.model["name"]: one.needs for one in made} | {
        "all-minilm-l6-v2": {"memory_gib": draw(st.integers(1, 4)), "cache_gib": 1},
        "ingress": {"memory_gib": draw(st.sampled_from([0.5, 1.5, 3]))},
    }
    document["ingress"]["scaling"] |= draw(scalings(st.sampled_from([0.5, 1.0, 2.0]))) | {"min_replicas": 1}
    capacity = st.sampled_from([["on-demand"], ["spot"], ["spot", "on-demand"], ["on-demand", "spot"]])
    cluster["images"]["neuron"] = f"registry.example.com/manta-neuron:0.1.0-ray2.60.0{DIGEST}"
    cluster["pools"] = {
        "head": {"instance_families": ["m8g", "m7i"], "max_nodes": 4},
        "system": {"instance_families": ["m8g"], "max_nodes": 50},
        "ingress": {
            "instance_families": draw(st.sampled_from([["m8g", "m7i"], ["m7i", "m8g"], ["r8g"]])),
            "pod_cpus": draw(st.integers(2, 8)),
            "pod_memory_gib": draw(st.integers(8, 32)),
            "capacity": draw(capacity),
            "max_nodes": 300,
        },
        "embedding": {"instance_families": ["c8g", "m8g"], "capacity": draw(capacity), "max_nodes": 300},
        "cpu": {"instance_families": ["m8g", "r8g"], "capacity": draw(capacity), "max_nodes": 300},
        "gpu": {"instance_families": ["g6e", "g6", "g5"], "capacity": draw(capacity), "max_nodes": 300},
        "neuron": {"instance_families": ["inf2"], "max_nodes": 300, "root_volume_gib": 300},
    }
    cluster["compute"] = draw(st.sampled_from(["karpenter", "auto-mode"]))
    cluster["node_image"] = draw(st.sampled_from(["al2023", "bottlerocket"]))
    if draw(st.booleans()):
        cluster["entrance"] = {
            "kind": "alb",
            "domain": "chat.example.com",
            "certificate_arn": "arn:aws:acm:us-east-1:111122223333:certificate/x",
        }
    for part in ("litellm", "collector", "ingestion", "kagent"):
        if draw(st.booleans()):
            cluster["parts"].pop(part, None)
    return document


class World:
    """Everything that was rendered, by kind."""

    def __init__(self, files: dict[str, str]) -> None:
        self.objects = [
            one
            for path, text in files.items()
            if path[:2].isdigit() and not path.endswith("kustomization.yaml")
            for one in yaml.load_all(text, Loader=yaml.CSafeLoader)
        ]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.objects if one["kind"] == kind]

    @property
    def ray(self) -> dict[str, Any]:
        (found,) = self.of("RayService")
        return found["spec"]

    @property
    def groups(self) -> dict[str, dict[str, Any]]:
        return {one["groupName"]: one for one in self.ray["rayClusterConfig"]["workerGroupSpecs"]}

    @property
    def pods(self) -> list[dict[str, Any]]:
        cluster = self.ray["rayClusterConfig"]
        return [
            cluster["headGroupSpec"]["template"],
            *(one["template"] for one in cluster["workerGroupSpecs"]),
        ]


def deployments(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(world.ray["serveConfigV2"])["applications"][0]["deployments"]
    return found


def replicas_fit_their_pods(world: World) -> None:
    for deployment in deployments(world):
        options = deployment["ray_actor_options"]
        group = world.groups[options["label_selector"]["manta-group"]]
        has = group["resources"]
        assert options["num_cpus"] <= int(has["CPU"])
        assert options["memory"] <= int(has["memory"])
        assert options.get("num_gpus", 0) <= int(has.get("GPU", 0))
        cores = options.get("resources", {}).get("neuron_cores", 0)
        assert cores <= int(has.get("neuron_cores", 0))


def pods_hold_what_ray_promises(world: World) -> None:
    for group in world.groups.values():
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert limits["cpu"] == group["resources"]["CPU"]
        promised = int(group["resources"]["memory"]) + int(group["rayStartParams"]["object-store-memory"])
        assert promised + GIB <= (amount(limits["memory"]) or 0)
        assert limits.get("nvidia.com/gpu") == group["resources"].get("GPU")


def bounds_are_in_order(world: World) -> None:
    for group in world.groups.values():
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["maxReplicas"] >= 1


def replicas_at_their_most_have_pods(world: World) -> None:
    """By CPUs, since every pod of a group is the same."""
    wanted: dict[str, float] = {}
    args = yaml.safe_load(world.ray["serveConfigV2"])["applications"][0]["args"]
    most = {f"Model-{one['name']}": one["scaling"]["max_replicas"] for one in args["models"]}
    most |= {"Ingress": args["ingress"]["scaling"]["max_replicas"]}
    for deployment in deployments(world):
        options = deployment["ray_actor_options"]
        name = options["label_selector"]["manta-group"]
        wanted[name] = wanted.get(name, 0) + options["num_cpus"] * most.get(deployment["name"], 1)
    for name, cpus in wanted.items():
        group = world.groups[name]
        assert cpus <= group["maxReplicas"] * int(group["resources"]["CPU"]) + 1e-9


def pods_find_nodes(world: World) -> None:
    """A pool whose labels the pod selects, whose taints it tolerates, whose types its affinity allows."""
    for pod in world.pods:
        spec = pod["spec"]
        tolerated = {(one["key"], one["value"], one["effect"]) for one in spec["tolerations"]}
        matching = []
        for pool in world.of("NodePool"):
            template = pool["spec"]["template"]
            taints = {
                (one["key"], one.get("value"), one["effect"]) for one in template["spec"].get("taints", ())
            }
            labels = template["metadata"]["labels"]
            if spec["nodeSelector"].items() <= labels.items() and taints <= tolerated:
                matching.append(pool)
        assert matching, spec["nodeSelector"]
        assert any(_allows(pool, spec) for pool in matching)


def _allows(pool: dict[str, Any], spec: dict[str, Any]) -> bool:
    terms = spec.get("affinity", {}).get("nodeAffinity", {})
    required = terms.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    wanted = set(required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"])
    for one in pool["spec"]["template"]["spec"]["requirements"]:
        if one["key"] == "node.kubernetes.io/instance-type" and one["operator"] == "In":
            return bool(wanted & set(one["values"]))
    return True


def names_lead_somewhere(world: World) -> None:
    accounts = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in world.of("ServiceAccount")}
    priorities = {one["metadata"]["name"] for one in world.of("PriorityClass")}
    (service,) = world.of("RayService")
    namespace = service["metadata"]["namespace"]
    assert namespace in {one["metadata"]["name"] for one in world.of("Namespace")}
    secrets = {
        (one["metadata"]["namespace"], one["spec"]["target"]["name"]): {
            part["secretKey"] for part in one["spec"]["data"]
        }
        for one in world.of("ExternalSecret")
    }
    for pod in world.pods:
        assert (namespace, pod["spec"]["serviceAccountName"]) in accounts
        assert pod["spec"]["priorityClassName"] in priorities
        for source in pod["spec"]["containers"][0]["envFrom"]:
            assert (namespace, source["secretRef"]["name"]) in secrets
    password = world.ray["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisPassword"]
    reference = password["valueFrom"]["secretKeyRef"]
    assert reference["key"] in secrets[namespace, reference["name"]]


def pods_end_after_they_drain(world: World) -> None:
    for group in world.groups.values():
        spec = group["template"]["spec"]
        command = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
        slept = re.search(r"sleep (\d+)$", command)
        assert slept is not None
        assert spec["terminationGracePeriodSeconds"] > int(slept[1])


def images_are_pinned_and_of_one_ray(world: World) -> None:
    version = world.ray["rayClusterConfig"]["rayVersion"]
    for pod in world.pods:
        image = pod["spec"]["containers"][0]["image"]
        assert re.search(r"@sha256:[0-9a-f]{64}$", image)
        assert f"ray{version}" in image


def no_secret_is_written_down(world: World) -> None:
    for one in world.objects:
        assert one["kind"] != "Secret"
        for variable in variables(one):
            if re.search(r"SECRET|PASSWORD|TOKEN|_KEY$", variable["name"]):
                assert "value" not in variable, variable["name"]


def variables(value: Any) -> list[dict[str, Any]]:
    """Environment variables anywhere in an object."""
    if isinstance(value, list):
        return [one for inner in value for one in variables(inner)]
    if not isinstance(value, dict):
        return []
    own = (
        [one for one in value.get("env", ()) if isinstance(one, dict)]
        if isinstance(value.get("env"), list)
        else []
    )
    return own + [one for inner in value.values() for one in variables(inner)]


RULES = (
    replicas_fit_their_pods,
    pods_hold_what_ray_promises,
    bounds_are_in_order,
    replicas_at_their_most_have_pods,
    pods_find_nodes,
    names_lead_somewhere,
    pods_end_after_they_drain,
    images_are_pinned_and_of_one_ray,
    no_secret_is_written_down,
)


@settings(max_examples=40)
@given(profiles())
def test_objects_agree_with_each_other_or_the_profile_is_refused(document: dict[str, Any]) -> None:
    files = rendered_or_refused(document)
    event("refused" if isinstance(files, str) else "rendered")
    if isinstance(files, str):
        assert "\n" not in files
        assert re.search(r"(models|cluster|ingress)\.", files)
        return
    world = World(files)
    for rule in RULES:
        rule(world)


@settings(max_examples=12)
@given(profiles())
def test_lint_finds_nothing_wrong_with_it(document: dict[str, Any]) -> None:
    """The rules for anybody's manifests, on ours."""
    files = rendered_or_refused(document)
    if isinstance(files, str):
        return
    with tempfile.TemporaryDirectory() as folder:
        write(files, Path(folder))
        errors = [one for one in lint([folder]) if one.severity is Severity.ERROR]
    assert errors == []


def rendered_or_refused(document: dict[str, Any]) -> dict[str, str] | str:
    """The files, or why there are none."""
    try:
        profile = dataclasses.replace(
            read_profile(ROOT / "configs" / "eks-gpu.yaml"), platform=parse_platform(document)
        )
        return render(profile)
    except (ConfigError, ProfileError) as exc:
        return str(exc)
