"""Who reaches whom, asked of the rendered policies as a network would ask them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.render import names
from cluster.render.namespaces import used
from cluster.render.network.policies import policies

ANYWHERE = "198.51.100.7"  # a documentation address: the internet
IN_THE_VPC = "10.0.3.4"
METADATA = "169.254.169.254"
POD_IDENTITY = "169.254.170.23"
ALB = {
    "kind": "alb",
    "domain": "chat.example.com",
    "certificate_arn": "arn:aws:acm:us-east-1:111122223333:certificate/abc",
}
OPENSEARCH = {"kind": "opensearch", "url": "https://docs.example.com"}


@dataclass(frozen=True)
class Pod:
    namespace: str
    labels: dict[str, str] = field(default_factory=dict)


def part(namespace: str, component: str) -> Pod:
    return Pod(namespace, names.labels(component))


def ray(group: str) -> Pod:
    return Pod("manta", {names.GROUP_LABEL: group})


HEAD, INGRESS, GPU = ray("head"), ray("ingress"), ray("model-qwen3-8b")
LITELLM = part("manta-gateway", names.LITELLM)
COLLECTOR = part("manta-observability", names.COLLECTOR)
OPERATOR = Pod(names.KUBERAY_NAMESPACE, {names.COMPONENT_LABEL: "kuberay-operator"})
PROMETHEUS = Pod(names.MONITORING_NAMESPACE)
DNS = Pod("kube-system", {"k8s-app": "kube-dns"})
STRANGER = Pod("default", {"app": "anything"})
NEIGHBOUR = Pod("manta", {"app": "a debugging shell"})


class Network:
    """What the rendered policies let through, by Kubernetes' own definition of them."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self._policies = [one for one in objects if one["kind"] == "NetworkPolicy"]

    def lets(self, source: Pod | str, target: Pod | str, port: int, protocol: str = "TCP") -> bool:
        out = not isinstance(source, Pod) or self._judged(source, target, port, protocol, "Egress", "to")
        into = not isinstance(target, Pod) or self._judged(target, source, port, protocol, "Ingress", "from")
        return out and into

    def _judged(self, pod: Pod, peer: Pod | str, port: int, protocol: str, direction: str, word: str) -> bool:
        mine = [
            one["spec"]
            for one in self._policies
            if one["metadata"]["namespace"] == pod.namespace
            and direction in one["spec"]["policyTypes"]
            and _selects(one["spec"]["podSelector"], pod.labels)
        ]
        if not mine:
            return True  # nobody restricts this pod
        rules = [rule for spec in mine for rule in spec.get(direction.lower(), ())]
        return any(
            _through(rule, port, protocol) and any(_is(one, peer, pod.namespace) for one in rule[word])
            for rule in rules
        )


def _through(rule: dict[str, Any], port: int, protocol: str) -> bool:
    return "ports" not in rule or {"protocol": protocol, "port": port} in rule["ports"]


def _is(peer: dict[str, Any], who: Pod | str, own_namespace: str) -> bool:
    if isinstance(who, str):
        block = peer.get("ipBlock")
        return block is not None and ipaddress.ip_address(who) in ipaddress.ip_network(block["cidr"])
    if "podSelector" not in peer:
        return False
    wanted = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name")
    return who.namespace == (wanted or own_namespace) and _selects(peer["podSelector"], who.labels)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(one["key"] in labels for one in selector.get("matchExpressions", ()))


@pytest.fixture
def gpu(planned: Callable[..., Any]) -> Network:
    return Network(policies(*planned("eks-gpu", cluster__entrance=ALB)))


def test_every_namespace_denies_what_nobody_asked_for(each: Any) -> None:
    made = Network(policies(*each))
    for namespace in used(each.config):
        alone = Pod(namespace)
        assert not made.lets(STRANGER, alone, 8080)
        assert not made.lets(alone, STRANGER, 8080)
        assert not made.lets(alone, ANYWHERE, 80)


def test_every_pod_may_ask_for_names(each: Any) -> None:
    made = Network(policies(*each))
    for namespace in used(each.config):
        for pod in (Pod(namespace), Pod(namespace, {names.GROUP_LABEL: "head"})):
            for protocol in ("UDP", "TCP"):
                assert made.lets(pod, DNS, 53, protocol)
                assert made.lets(
                    pod, "172.20.0.10", 53, protocol
                )  # Auto Mode's and NodeLocal's answer elsewhere


def test_rays_pods_talk_among_themselves_by_any_port(gpu: Network) -> None:
    for port in (names.GCS_PORT, names.DASHBOARD_PORT, names.HTTP_PORT, 10002, 43210):
        for source, target in ((HEAD, GPU), (GPU, HEAD), (INGRESS, GPU)):
            assert gpu.lets(source, target, port)


def test_only_the_gateway_reaches_the_ingress(gpu: Network) -> None:
    assert gpu.lets(LITELLM, INGRESS, names.HTTP_PORT)
    for other in (
        STRANGER,
        NEIGHBOUR,
        COLLECTOR,
        Pod("manta-gateway"),
        part("default", names.LITELLM),
        IN_THE_VPC,
    ):
        assert not gpu.lets(other, INGRESS, names.HTTP_PORT)


def test_the_gateway_reaches_nothing_but_requests(gpu: Network) -> None:
    for port in (names.GCS_PORT, names.DASHBOARD_PORT, names.CLIENT_PORT):
        assert not gpu.lets(LITELLM, HEAD, port)


def test_clients_come_by_the_load_balancer(planned: Callable[..., Any], gpu: Network) -> None:
    assert gpu.lets(IN_THE_VPC, LITELLM, names.LITELLM_PORT)
    assert not gpu.lets(ANYWHERE, LITELLM, names.LITELLM_PORT)
    narrow = planned("eks-gpu", cluster__entrance=ALB, cluster__network={"entrance_cidrs": ["10.0.1.0/24"]})
    made = Network(policies(*narrow))
    assert made.lets("10.0.1.9", LITELLM, names.LITELLM_PORT)
    assert not made.lets(IN_THE_VPC, LITELLM, names.LITELLM_PORT)


def test_without_litellm_the_load_balancer_reaches_the_application(planned: Callable[..., Any]) -> None:
    each = planned("eks-gpu", cluster__entrance=ALB, cluster__parts__litellm=None)
    made = Network(policies(*each))
    assert made.lets(IN_THE_VPC, INGRESS, names.HTTP_PORT)
    assert not made.lets(IN_THE_VPC, INGRESS, names.DASHBOARD_PORT)


def test_a_gateways_proxies_bring_clients_and_step_between(planned: Callable[..., Any]) -> None:
    entrance = {"kind": "gateway-api", "domain": "chat.example.com", "gateway_class": "istio"}
    made = Network(policies(*planned("eks-gpu", cluster__entrance=entrance)))
    proxy = {"gateway.networking.k8s.io/gateway-name": "manta"}
    in_front, between = Pod("manta-gateway", proxy), Pod("manta", proxy)
    assert made.lets(IN_THE_VPC, in_front, 443)
    assert made.lets(in_front, LITELLM, names.LITELLM_PORT)
    assert made.lets(LITELLM, between, 80)
    assert not made.lets(IN_THE_VPC, between, 80)  # past LiteLLM there is no way in
    assert made.lets(between, INGRESS, names.HTTP_PORT)
    assert made.lets(IN_THE_VPC, INGRESS, names.HTTP_PORT) is False
    for other in (in_front, between):
        assert not made.lets(other, HEAD, names.DASHBOARD_PORT)


def test_without_litellm_clients_pass_the_entrance_before_rays_own_gateway(
    planned: Callable[..., Any],
) -> None:
    entrance = {"kind": "gateway-api", "domain": "chat.example.com", "gateway_class": "istio"}
    each = planned("eks-gpu", cluster__entrance=entrance, cluster__parts__litellm=None)
    made = Network(policies(*each))
    in_front, between = (
        Pod("manta", {"gateway.networking.k8s.io/gateway-name": name})
        for name in (names.ENTRANCE, names.RAY_GATEWAY)
    )
    assert made.lets(IN_THE_VPC, in_front, 443)
    assert made.lets(in_front, between, 80)
    assert made.lets(between, INGRESS, names.HTTP_PORT)
    assert not made.lets(IN_THE_VPC, between, 80)  # it has no TLS
    assert not made.lets(STRANGER, between, 80)
    for proxy in (in_front, between):
        assert not made.lets(proxy, HEAD, names.DASHBOARD_PORT)


def test_the_operator_sees_the_dashboard_of_the_head(gpu: Network) -> None:
    assert gpu.lets(OPERATOR, HEAD, names.DASHBOARD_PORT)
    assert gpu.lets(OPERATOR, HEAD, names.HTTP_PORT)
    assert not gpu.lets(OPERATOR, HEAD, names.GCS_PORT)
    assert not gpu.lets(Pod(names.KUBERAY_NAMESPACE), HEAD, names.DASHBOARD_PORT)
    assert not gpu.lets(STRANGER, HEAD, names.DASHBOARD_PORT)


def test_the_head_asks_kubernetes_for_pods(gpu: Network) -> None:
    assert gpu.lets(HEAD, "172.20.0.1", 443)
    assert gpu.lets(HEAD, IN_THE_VPC, 443)


def test_pods_get_their_own_role_and_never_the_nodes(gpu: Network) -> None:
    for pod in (GPU, LITELLM):
        assert gpu.lets(pod, POD_IDENTITY, 80)
        assert not gpu.lets(pod, METADATA, 80)


def test_redis_of_the_cluster_is_the_heads_alone(planned: Callable[..., Any]) -> None:
    each = planned("eks-gpu", cluster__gcs_redis={"address": "gcs.example.com:6380"})
    made = Network(policies(*each))
    assert made.lets(HEAD, IN_THE_VPC, 6380)
    assert not made.lets(GPU, IN_THE_VPC, 6380)


def test_what_the_profile_names_can_be_reached(planned: Callable[..., Any], gpu: Network) -> None:
    assert gpu.lets(INGRESS, IN_THE_VPC, 6379)  # door.redis
    assert gpu.lets(LITELLM, IN_THE_VPC, 6379)
    assert gpu.lets(LITELLM, IN_THE_VPC, 5432)  # litellm.database
    assert not gpu.lets(INGRESS, IN_THE_VPC, 5432)
    store = {"kind": "opensearch", "url": "http://10.9.8.7:9200"}
    made = Network(policies(*planned("eks-gpu", knowledge__store=store, cluster__parts__ingestion=None)))
    assert made.lets(INGRESS, "10.9.8.7", 9200)
    assert not made.lets(INGRESS, "10.9.8.8", 9200)


def test_https_goes_where_the_profile_allows(planned: Callable[..., Any], gpu: Network) -> None:
    assert gpu.lets(GPU, ANYWHERE, 443)
    made = Network(policies(*planned("eks-gpu", cluster__network={"https_cidrs": []})))
    assert not made.lets(GPU, ANYWHERE, 443)
    assert made.lets(GPU, IN_THE_VPC, 443)  # interface endpoints


def test_what_a_profile_does_not_name_can_be_added(planned: Callable[..., Any]) -> None:
    egress = [{"cidr": "192.0.2.0/24", "port": 8443}]
    made = Network(policies(*planned("eks-gpu", cluster__network={"egress": egress})))
    assert made.lets(GPU, "192.0.2.9", 8443)
    assert not made.lets(GPU, "192.0.2.9", 8444)


def test_traces_and_metrics_have_their_way(gpu: Network) -> None:
    for source in (INGRESS, LITELLM):
        assert gpu.lets(source, COLLECTOR, 4318)
    assert not gpu.lets(STRANGER, COLLECTOR, 4318)
    for target in (HEAD, GPU):
        assert gpu.lets(PROMETHEUS, target, names.METRICS_PORT)
        assert not gpu.lets(PROMETHEUS, target, names.DASHBOARD_PORT)
    assert gpu.lets(PROMETHEUS, LITELLM, names.LITELLM_PORT)


def test_traces_go_on_to_wherever_the_collector_is_told(planned: Callable[..., Any]) -> None:
    tempo = Pod("tempo", {"app": "tempo"})
    for url, place, port in (
        ("http://tempo.tempo.svc:4318", tempo, 4318),
        ("http://10.9.8.7:4318", "10.9.8.7", 4318),
    ):
        made = Network(policies(*planned("eks-gpu", cluster__parts__collector={"otlp_url": url})))
        assert made.lets(COLLECTOR, place, port)
        assert not made.lets(COLLECTOR, STRANGER, port)


def test_agents_of_kagent_are_clients_and_find_their_tools(planned: Callable[..., Any]) -> None:
    agent = Pod("kagent", {"app": "librarian"})
    with_it = Network(policies(*planned("eks-gpu", cluster__entrance=ALB)))
    without = Network(policies(*planned("eks-gpu", cluster__entrance=ALB, cluster__parts__kagent=None)))
    assert with_it.lets(agent, LITELLM, names.LITELLM_PORT)
    assert with_it.lets(agent, INGRESS, names.HTTP_PORT)  # /mcp, which LiteLLM does not pass on
    assert not with_it.lets(agent, HEAD, names.DASHBOARD_PORT)
    for target, port in ((LITELLM, names.LITELLM_PORT), (INGRESS, names.HTTP_PORT)):
        assert not without.lets(agent, target, port)


def test_opensearch_is_asked_by_the_application_and_its_operator(planned: Callable[..., Any]) -> None:
    made = Network(policies(*planned("eks-graviton")))
    node = part("manta-knowledge", "opensearch")
    assert made.lets(INGRESS, node, 9200)
    assert made.lets(Pod("opensearch-operator-system"), node, 9200)
    assert made.lets(node, node, 9300)
    assert not made.lets(STRANGER, node, 9200)
    assert not made.lets(LITELLM, node, 9200)
    assert not made.lets(INGRESS, node, 9300)


def test_ingestion_reaches_what_it_reads_and_nobody_reaches_it(gpu: Network) -> None:
    ingestion = part("manta", names.INGESTION)
    assert gpu.lets(ingestion, ANYWHERE, 443)
    assert not gpu.lets(ingestion, HEAD, names.GCS_PORT)
    assert not gpu.lets(STRANGER, ingestion, 8080)


def test_auto_mode_is_told_to_enforce_policies(planned: Callable[..., Any]) -> None:
    def switches(compute: str) -> list[dict[str, Any]]:
        made = policies(*planned("eks-gpu", cluster__compute=compute))
        return [one for one in made if one["kind"] == "ConfigMap"]

    (switch,) = switches("auto-mode")
    assert switch["data"] == {"enable-network-policy-controller": "true"}
    assert switch["metadata"]["namespace"] == "kube-system"
    assert switches("karpenter") == []
