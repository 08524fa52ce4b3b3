"""PodMonitors select exactly the pods that have numbers, by ports that these pods have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cluster.render import names
from cluster.render.collector import collector
from cluster.render.families import FAMILIES
from cluster.render.ingestion import ingestion
from cluster.render.litellm_proxy import litellm
from cluster.render.monitors import GROUP, monitors
from cluster.render.ray.service import ray_service

Pod = tuple[str, dict[str, str], set[str]]  # namespace, labels, names of its ports


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """As Kubernetes judges it, with the operators that are used."""
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "Exists"
        if expression["key"] not in labels:
            return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def ray_pods(planned: Any) -> Iterator[Pod]:
    (service,) = [one for one in ray_service(*planned) if one["kind"] == "RayService"]
    cluster = service["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield _pod(service["metadata"]["namespace"], group["template"])


def other_pods(planned: Any) -> Iterator[Pod]:
    for family in (litellm, collector, ingestion):
        for one in family(*planned):
            if one["kind"] == "Deployment":
                yield _pod(one["metadata"]["namespace"], one["spec"]["template"])


def _pod(namespace: str, template: dict[str, Any]) -> Pod:
    ports = {port["name"] for one in template["spec"]["containers"] for port in one.get("ports", ())}
    return namespace, template["metadata"]["labels"], ports


def selected(planned: Any, name: str, pods: list[Pod]) -> list[Pod]:
    (monitor,) = [one for one in monitors(*planned) if one["metadata"]["name"] == name]
    namespace, selector = monitor["metadata"]["namespace"], monitor["spec"]["selector"]
    return [pod for pod in pods if pod[0] == namespace and selects(selector, pod[1])]


def test_rays_monitor_selects_every_pod_of_ray_and_no_other(each: Any) -> None:
    ray, others = list(ray_pods(each)), list(other_pods(each))
    assert ray
    assert selected(each, "ray", [*ray, *others]) == ray


def test_every_monitor_selects_pods_that_have_its_port(each: Any) -> None:
    pods = [*ray_pods(each), *other_pods(each)]
    for monitor in monitors(*each):
        found = selected(each, monitor["metadata"]["name"], pods)
        assert found, monitor["metadata"]["name"]
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            for _, _, ports in found:
                assert endpoint["port"] in ports


def test_litellm_is_asked_where_it_tells(planned: Callable[..., Any]) -> None:
    telling = planned("eks-graviton", litellm__callbacks=["prometheus"])
    silent = planned("eks-graviton", litellm__callbacks=[])
    assert names.LITELLM in {one["metadata"]["name"] for one in monitors(*telling)}
    assert names.LITELLM not in {one["metadata"]["name"] for one in monitors(*silent)}


def test_the_group_is_kept_under_the_name_that_queries_have(each: Any) -> None:
    monitor = monitors(*each)[0]
    kept = {
        one["targetLabel"]: one["sourceLabels"]
        for one in monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    }
    assert kept[GROUP] == ["__meta_kubernetes_pod_label_manta_dev_group"]
    assert kept["ray_io_cluster"] == ["__meta_kubernetes_pod_label_ray_io_cluster"]


def test_none_without_monitoring(planned: Callable[..., Any]) -> None:
    assert monitors(*planned("eks-graviton", cluster__parts__monitoring=None)) == []


def test_every_family_is_in_the_table() -> None:
    wanted = {"litellm", "collector", "opensearch", "monitors", "alerts", "dashboards", "ingestion", "kagent"}
    assert wanted <= {family.name for family in FAMILIES}
