from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cluster.render import names
from cluster.render.entrance.objects import entrance
from cluster.render.ray.service import ray_service

CERTIFICATE = "arn:aws:acm:us-east-1:111122223333:certificate/abc"
ACL = "arn:aws:wafv2:us-east-1:111122223333:regional/webacl/manta/abc"
ALB = {"kind": "alb", "domain": "chat.example.com", "certificate_arn": CERTIFICATE, "waf_acl_arn": ACL}
GATEWAY = {
    "kind": "gateway-api",
    "domain": "chat.example.com",
    "gateway_class": "istio",
    "tls_secret": "chat-example-com",
}


def _annotations(ingress: dict[str, Any]) -> dict[str, str]:
    prefix = "alb.ingress.kubernetes.io/"
    return {name.removeprefix(prefix): text for name, text in ingress["metadata"]["annotations"].items()}


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(","))


def test_the_load_balancer_is_internal_and_speaks_tls_only(planned: Callable[..., Any]) -> None:
    (ingress,) = entrance(*planned("eks-gpu", cluster__entrance=ALB))
    made = _annotations(ingress)
    assert made["scheme"] == "internal"
    assert json.loads(made["listen-ports"]) == [{"HTTPS": 443}]
    assert made["certificate-arn"] == CERTIFICATE
    assert made["wafv2-acl-arn"] == ACL
    assert "TLS13" in made["ssl-policy"]
    assert made["target-type"] == "ip"  # LiteLLM's Service has no port on nodes
    assert all(isinstance(text, str) for text in made.values())


def test_without_a_web_acl_none_is_named(planned: Callable[..., Any]) -> None:
    without = {name: value for name, value in ALB.items() if name != "waf_acl_arn"}
    (ingress,) = entrance(*planned("eks-gpu", cluster__entrance=without))
    assert "wafv2-acl-arn" not in _annotations(ingress)


@pytest.mark.parametrize("max_deadline_s", [600.0, 6000.0])
def test_the_load_balancer_waits_as_long_as_the_application(
    planned: Callable[..., Any], max_deadline_s: float
) -> None:
    ingress = {
        "scaling": {"num_cpus": 1, "min_replicas": 3, "max_replicas": 12},
        "max_deadline_s": max_deadline_s,
    }
    (made,) = entrance(*planned("eks-gpu", cluster__entrance=ALB, ingress=ingress))
    idle_s = int(_pairs(_annotations(made)["load-balancer-attributes"])["idle_timeout.timeout_seconds"])
    drain_s = int(
        _pairs(_annotations(made)["target-group-attributes"])["deregistration_delay.timeout_seconds"]
    )
    assert idle_s >= min(max_deadline_s, 4000)
    assert idle_s <= 4000  # what AWS allows
    assert drain_s >= min(max_deadline_s, 3600)
    assert drain_s <= 3600


def test_behind_it_is_litellm_or_else_the_application(planned: Callable[..., Any]) -> None:
    (with_litellm,) = entrance(*planned("eks-gpu", cluster__entrance=ALB))
    each = planned("eks-gpu", cluster__entrance=ALB, cluster__parts__litellm=None)
    (alone,) = entrance(*each)
    found = []
    for ingress in (with_litellm, alone):
        (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
        service = path["backend"]["service"]
        found.append((ingress["metadata"]["namespace"], service["name"], service["port"]["number"]))
    assert found == [
        ("manta-gateway", names.LITELLM, names.LITELLM_PORT),
        ("manta", names.SERVE_SERVICE, names.HTTP_PORT),
    ]
    assert _annotations(alone)["healthcheck-path"] == "/healthz"


def test_auto_mode_brings_its_class_which_has_scheme_and_certificate(planned: Callable[..., Any]) -> None:
    parameters, ingress_class, ingress = entrance(
        *planned("eks-gpu", cluster__entrance=ALB, cluster__compute="auto-mode")
    )
    assert parameters["spec"] == {"scheme": "internal", "certificateARNs": [CERTIFICATE]}
    assert ingress_class["spec"]["parameters"]["name"] == parameters["metadata"]["name"]
    assert ingress["spec"]["ingressClassName"] == ingress_class["metadata"]["name"]
    assert not {"scheme", "certificate-arn"} & set(_annotations(ingress))


def test_a_gateway_ends_tls_with_the_certificate_of_its_domain(planned: Callable[..., Any]) -> None:
    gateway, route = entrance(*planned("eks-gpu", cluster__entrance=GATEWAY))
    (listener,) = gateway["spec"]["listeners"]
    assert (listener["protocol"], listener["port"]) == ("HTTPS", 443)
    assert listener["tls"]["certificateRefs"] == [{"name": "chat-example-com"}]
    assert listener["hostname"] == "chat.example.com"
    (parent,) = route["spec"]["parentRefs"]
    assert (parent["name"], parent["sectionName"]) == (gateway["metadata"]["name"], listener["name"])
    assert gateway["metadata"]["namespace"] == route["metadata"]["namespace"]


@pytest.mark.parametrize(("internal", "scheme"), [(True, "internal"), (False, "internet-facing")])
def test_the_gateways_load_balancer_is_internal_unless_told(
    planned: Callable[..., Any], internal: bool, scheme: str
) -> None:
    gateway, _ = entrance(*planned("eks-gpu", cluster__entrance=GATEWAY | {"internal": internal}))
    annotations = gateway["spec"]["infrastructure"]["annotations"]
    assert annotations["service.beta.kubernetes.io/aws-load-balancer-scheme"] == scheme


def test_where_tls_ends_before_the_gateway_is_plain(planned: Callable[..., Any]) -> None:
    gateway, _ = entrance(*planned("eks-gpu", cluster__entrance=GATEWAY | {"tls_secret": None}))
    assert gateway["spec"]["listeners"][0]["protocol"] == "HTTP"


def test_a_canary_gets_its_share_and_no_more(planned: Callable[..., Any]) -> None:
    canary = {"service": "litellm-next", "port": 4000, "weight_percent": 5}
    _, route = entrance(*planned("eks-gpu", cluster__entrance=GATEWAY | {"canary": canary}))
    weights = {one["name"]: one["weight"] for one in route["spec"]["rules"][0]["backendRefs"]}
    assert weights == {"litellm": 95, "litellm-next": 5}
    _, alone = entrance(*planned("eks-gpu", cluster__entrance=GATEWAY))
    assert [one["weight"] for one in alone["spec"]["rules"][0]["backendRefs"]] == [100]


@pytest.mark.parametrize(
    ("gateway_class", "strategy", "expected"),
    [
        ("istio", "NewClusterWithIncrementalUpgrade", ("manta-gateway-istio", 80)),
        # Nobody says how this class names the Service of KubeRay's Gateway: at once, by the Service that is known.
        ("cilium", "NewCluster", (names.SERVE_SERVICE, names.HTTP_PORT)),
    ],
)
def test_without_litellm_the_route_leads_to_whichever_version_of_ray_answers(
    planned: Callable[..., Any], gateway_class: str, strategy: str, expected: tuple[str, int]
) -> None:
    chosen = GATEWAY | {"gateway_class": gateway_class}
    each = planned("eks-gpu", cluster__entrance=chosen, cluster__parts__litellm=None)
    gateway, route = entrance(*each)
    (backend,) = route["spec"]["rules"][0]["backendRefs"]
    assert (backend["name"], backend["port"]) == expected
    (service,) = ray_service(*each)
    assert service["spec"]["upgradeStrategy"]["type"] == strategy
    assert gateway["metadata"]["namespace"] == service["metadata"]["namespace"]


def test_the_route_lets_answers_take_their_time(planned: Callable[..., Any]) -> None:
    each = planned("eks-gpu", cluster__entrance=GATEWAY)
    _, route = entrance(*each)
    timeout = route["spec"]["rules"][0]["timeouts"]["request"]
    assert int(timeout.removesuffix("s")) >= each.config.ingress.max_deadline_s
