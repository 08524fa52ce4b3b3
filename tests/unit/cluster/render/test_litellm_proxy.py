"""LiteLLM in the cluster: it serves the profile's models, finds the application, and holds no secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cluster.litellm.render import names_of
from cluster.render import names
from cluster.render.external_secrets import of_gateway
from cluster.render.litellm_proxy import CONFIG_MAP, litellm, upstream
from cluster.render.ray.service import ray_service
from configs.load import ProfileError


def by_kind(planned: Any) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in litellm(*planned)}


def container(planned: Any) -> dict[str, Any]:
    (found,) = by_kind(planned)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(planned: Any) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in container(planned)["env"]}


def settings(planned: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(by_kind(planned)["ConfigMap"]["data"]["config.yaml"])
    return loaded


def test_its_models_are_those_that_are_served(each: Any) -> None:
    served = set(names_of(each.config))
    listed = [entry["model_name"] for entry in settings(each)["model_list"]]
    others = {one.name for one in each.config.litellm.models}
    assert set(listed) == served | others
    assert len(listed) == len(set(listed))
    assert set(environment(each)["MANTA_GATEWAY_MODELS"]["value"].split(",")) == served


def test_it_finds_the_application_where_ray_answers(each: Any) -> None:
    domain = f"{each.cluster.namespaces.application}.svc.cluster.local"
    stepwise = each.cluster.entrance.kind == "gateway-api"
    (service,) = ray_service(*each)
    assert (service["spec"]["upgradeStrategy"]["type"] == "NewClusterWithIncrementalUpgrade") is stepwise
    # Ray's Service stays with the old cluster until the new one has all the traffic; its Gateway leads to both.
    expected = f"http://manta-gateway-istio.{domain}" if stepwise else f"http://manta-serve-svc.{domain}:8000"
    assert upstream(each.config) == expected
    bases = {one["litellm_params"].get("api_base") for one in settings(each)["model_list"]}
    assert f"{expected}/v1" in bases


def test_a_gateway_of_a_class_that_is_not_known_here_has_to_be_told(planned: Callable[..., Any]) -> None:
    other = {
        "cluster__entrance": {"kind": "gateway-api", "domain": "a.example.com", "gateway_class": "cilium"}
    }
    with pytest.raises(
        ProfileError, match=r"^litellm\.upstream: not set; where is the Gateway manta-gateway of"
    ):
        litellm(*planned("eks-graviton", **other))
    told = planned("eks-graviton", **other, litellm__upstream="http://cilium-gateway-manta-gateway.manta")
    assert upstream(told.config) == "http://cilium-gateway-manta-gateway.manta"


def test_secrets_are_named_in_the_file_and_referenced_in_the_pod(each: Any) -> None:
    text = by_kind(each)["ConfigMap"]["data"]["config.yaml"]
    referenced = {
        one["valueFrom"]["secretKeyRef"]["key"]: name
        for name, one in environment(each).items()
        if "valueFrom" in one
    }
    for variable in of_gateway(each.config):
        assert variable in referenced
    for name, one in environment(each).items():
        if f"os.environ/{name}" in text:
            assert one["valueFrom"]["secretKeyRef"]["name"] == names.GATEWAY_SECRET


def test_selectors_choose_its_pods_and_no_others(each: Any) -> None:
    made = by_kind(each)
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for chosen in (
        made["Deployment"]["spec"]["selector"]["matchLabels"],
        made["Service"]["spec"]["selector"],
        made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert chosen.items() <= labels.items()
        assert chosen[names.COMPONENT_LABEL] == names.LITELLM
    assert made["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == names.LITELLM
    assert "replicas" not in made["Deployment"]["spec"]  # the autoscaler's, or each apply would undo it
    (port,) = made["Service"]["spec"]["ports"]
    assert port["targetPort"] in {one["name"] for one in container(each)["ports"]}


def test_a_changed_configuration_replaces_the_pods(planned: Callable[..., Any]) -> None:
    def checksum(made: Any) -> str:
        template = by_kind(made)["Deployment"]["spec"]["template"]
        return str(template["metadata"]["annotations"]["manta.dev/checksum"])

    before = planned("eks-graviton")
    after = planned("eks-graviton", ingress__max_deadline_s=300)
    assert checksum(before) == checksum(planned("eks-graviton"))
    assert checksum(before) != checksum(after)


def test_a_pod_that_goes_ends_its_longest_stream_first(each: Any) -> None:
    spec = by_kind(each)["Deployment"]["spec"]["template"]["spec"]
    (one,) = spec["containers"]
    drain_s = one["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > drain_s + each.config.ingress.max_deadline_s


def test_its_spans_go_to_the_collector_where_it_makes_any(planned: Callable[..., Any]) -> None:
    traced = environment(planned("eks-graviton"))
    assert traced["OTEL_EXPORTER_OTLP_ENDPOINT"]["value"].endswith(
        "manta-observability.svc.cluster.local:4318"
    )
    silent = planned("eks-graviton", litellm__callbacks=[])
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment(silent)


def test_its_tables_are_there_before_it_starts(planned: Callable[..., Any]) -> None:
    spec = by_kind(planned("eks-graviton"))["Deployment"]["spec"]["template"]["spec"]
    (first,) = spec["initContainers"]
    assert first["image"] == spec["containers"][0]["image"]
    references = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in first["env"] if "valueFrom" in one}
    assert references["DATABASE_URL"] == {"name": names.GATEWAY_SECRET, "key": "LITELLM_DATABASE_URL"}
    without = by_kind(planned("eks-graviton", litellm__database=None))["Deployment"]
    assert "initContainers" not in without["spec"]["template"]["spec"]


def test_it_is_left_out_where_nobody_wants_it(planned: Callable[..., Any]) -> None:
    assert litellm(*planned("eks-graviton", cluster__parts__litellm=None)) == []


def test_the_map_is_mounted_where_it_is_read(each: Any) -> None:
    spec = by_kind(each)["Deployment"]["spec"]["template"]["spec"]
    mounts = {one["name"]: one["mountPath"] for one in spec["containers"][0]["volumeMounts"]}
    assert {"name": CONFIG_MAP, "configMap": {"name": CONFIG_MAP}} in spec["volumes"]
    assert environment(each)["CONFIG_FILE_PATH"]["value"] == f"{mounts[CONFIG_MAP]}/config.yaml"
