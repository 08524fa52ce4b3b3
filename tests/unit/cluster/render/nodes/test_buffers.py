from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cluster.render import names
from cluster.render.nodes.buffers import buffers
from cluster.render.quotas import quotas
from cluster.render.ray.pods import pod_template

GPU = {"instance_families": ["g6e"], "max_nodes": 8, "root_volume_gib": 200, "buffer_pods": 1}


def test_nothing_is_kept_warm_unless_somebody_asks(each: Any) -> None:
    assert buffers(*each) == []


def test_a_buffer_is_as_large_as_a_pod_of_the_group(planned: Callable[..., Any]) -> None:
    each = planned("eks-gpu", cluster__pools__gpu=GPU)
    groups = {group.name: group for group in each.plan.groups if group.role == "gpu"}
    made = buffers(*each)
    templates = {one["metadata"]["name"]: one for one in made if one["kind"] == "PodTemplate"}
    found = [one for one in made if one["kind"] == "CapacityBuffer"]
    assert len(found) == len(groups) == len(templates)
    for buffer in found:
        assert buffer["spec"]["replicas"] == 1
        pod = templates[buffer["spec"]["podTemplateRef"]["name"]]["template"]
        group = groups[buffer["metadata"]["name"].removeprefix("warm-")]
        requests = pod["spec"]["containers"][0]["resources"]["requests"]
        assert requests["nvidia.com/gpu"] == str(group.pod.num_gpus)
        assert requests["cpu"] == str(group.pod.num_cpus)
        assert requests["memory"] == f"{group.pod.memory_bytes // 2**20}Mi"
        assert pod["spec"]["nodeSelector"] == {names.ROLE_LABEL: "gpu"}
        # Another type may have as many GPUs and less memory: no place for one of the group.
        assert pod["spec"]["affinity"] == pod_template(each.config, group)["spec"]["affinity"]
        assert pod["spec"]["tolerations"] == [names.role_toleration("gpu")]


def test_in_auto_mode_places_are_kept_by_pods_that_yield(planned: Callable[..., Any]) -> None:
    each = planned("eks-gpu", cluster__compute="auto-mode", cluster__pools__gpu=GPU)
    priority, *places = buffers(*each)
    assert priority["value"] < 0
    assert priority["preemptionPolicy"] == "Never"
    for place in places:
        pod = place["spec"]["template"]
        assert pod["spec"]["priorityClassName"] == priority["metadata"]["name"]
        assert place["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        # No pod of Ray's: monitors, budgets and rules of the network must not take it for one.
        assert names.GROUP_LABEL not in pod["metadata"]["labels"]


def test_the_quota_holds_the_places_too(planned: Callable[..., Any]) -> None:
    def gpus(each: Any) -> int:
        (hard,) = [
            one["spec"]["hard"]
            for one in quotas(*each)
            if one["kind"] == "ResourceQuota" and "requests.nvidia.com/gpu" in one["spec"]["hard"]
        ]
        return int(hard["requests.nvidia.com/gpu"])

    each = planned("eks-gpu", cluster__pools__gpu=GPU)
    kept = sum(group.pod.num_gpus for group in each.plan.groups)
    without = planned("eks-gpu", cluster__pools__gpu=GPU | {"buffer_pods": 0})
    assert gpus(each) == gpus(without) + kept
