"""NetworkPolicies leave pods what they cannot live without: names, and Ray's own ports.

A pod that no policy selects is open. One that some select may do what any of them allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, error, items, mappings, texts, warning
from cluster.lint.words import listed
from cluster.lint.world import Pods, RayCluster, World, same_namespace, selects

_DNS = 53
_DNS_NAMESPACES = ("kube-system", "openshift-dns")
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_GCS = 6379
_DASHBOARD = 8265
# Ports of a worker that Ray chooses by itself if rayStartParams does not.
_CHOSEN = (
    "object-manager-port",
    "node-manager-port",
    "min-worker-port",
    "max-worker-port",
    "worker-port-list",
)


def check(world: World) -> Iterator[Finding]:
    policies = [manifest for manifest in world.of("NetworkPolicy") if manifest.group == "networking.k8s.io"]
    if not policies:
        return
    for policy in policies:
        yield from _ranges(policy)
    yield from _names(world, policies)
    for cluster in world.ray_clusters:
        yield from _ray(policies, cluster)


Rules = list[
    tuple[Manifest, Mapping[str, Any]]
]  # each rule that applies, with its policy; [(policy, {})] allows all


def _rules(policies: Sequence[Manifest], pods: Pods, direction: str) -> Rules | None:
    """The rules for the pods in that direction; None: no policy selects them, so that all is allowed."""
    chosen = [
        policy
        for policy in policies
        if same_namespace(policy.namespace, pods.namespace)
        and selects(policy.get("spec", "podSelector"), pods)
        and direction in _types(policy)
    ]
    if not chosen:
        return None
    found: Rules = []
    for policy in chosen:
        found.extend((policy, rule) for _, rule in mappings(policy.get("spec", direction.lower())))
    return found or [(policy, {"ports": [], "none": True}) for policy in chosen[:1]]


def _types(policy: Manifest) -> Sequence[str]:
    named = items(policy.get("spec", "policyTypes"))
    return named or (["Ingress", "Egress"] if policy.get("spec", "egress") else ["Ingress"])


def _allows(
    rule: Mapping[str, Any], port: int, protocol: str = "TCP", names: Mapping[str, int] | None = None
) -> bool:
    if rule.get("none"):
        return False
    ports = mappings(rule.get("ports"))
    if not ports:
        return True
    for _, entry in ports:
        number = entry.get("port")
        number = (names or {}).get(number, number) if isinstance(number, str) else number
        last = entry.get("endPort", number)
        is_within = number is None or (
            isinstance(number, int) and isinstance(last, int) and number <= port <= last
        )
        if is_within and entry.get("protocol", "TCP") == protocol:
            return True
    return False


def _reaches(rule: Mapping[str, Any], key: str, pods: Pods) -> bool:
    """Whether the rule's peers may be these pods; an address may be anybody's."""
    peers = mappings(rule.get(key))
    if not peers:
        return True
    for _, peer in peers:
        if "ipBlock" in peer or "namespaceSelector" in peer:
            if "podSelector" not in peer or selects(peer["podSelector"], pods):
                return True
        elif selects(peer.get("podSelector"), pods):
            return True
    return False


def _names(world: World, policies: Sequence[Manifest]) -> Iterator[Finding]:
    """DNS, which is elsewhere: in kube-system, or on the node. Said once for each policy that cuts it off."""
    cut: dict[Manifest, list[Pods]] = {}
    for pods in world.pods:
        outward = _rules(policies, pods, "Egress")
        if outward is None or pods.spec.get("dnsPolicy") == "None" or pods.spec.get("hostNetwork") is True:
            continue
        if not any(_allows(rule, _DNS, "UDP") and _leaves(rule) for _, rule in outward):
            cut.setdefault(outward[0][0], []).append(pods)
    for policy in policies:
        if policy not in cut and _closes_all(world, policies, policy):
            message = "every pod of the namespace is kept from DNS (UDP 53), and no policy among these files opens it"
            yield warning("network/dns", policy, ("spec",), message, "allow UDP and TCP 53 to kube-system")
    for policy, found in cut.items():
        has_ray = any(pods.role for pods in found)
        say, why = (error, "Ray finds its head by name") if has_ray else (warning, "no name can be resolved")
        message = f"no DNS (UDP 53) for {listed((pods.what for pods in found), 3)}: {why}"
        yield say("network/dns", policy, ("spec",), message, "allow UDP and TCP 53 to kube-system")


def _closes_all(world: World, policies: Sequence[Manifest], policy: Manifest) -> bool:
    """Whether it holds every pod's way out, of pods that are not among the files, and no other policy opens DNS."""
    near = [each for each in policies if same_namespace(each.namespace, policy.namespace)]
    rules = [rule for each in near for _, rule in mappings(each.get("spec", "egress"))]
    opens = any(_allows(rule, _DNS, "UDP") and _leaves(rule) for rule in rules)
    is_all = policy.get("spec", "podSelector") == {} and "Egress" in _types(policy)
    has_others = world.of("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "GlobalNetworkPolicy")
    return is_all and not opens and not has_others and not world.pods_in(policy.namespace)


def _leaves(rule: Mapping[str, Any]) -> bool:
    """Whether a peer can be where DNS is: an address, or the namespace that it runs in."""
    peers = mappings(rule.get("to"))
    return not peers or any(
        "ipBlock" in peer or _may_be_dns(peer.get("namespaceSelector")) for _, peer in peers
    )


def _may_be_dns(selector: object) -> bool:
    """Labels of namespaces are not known here, but for the one that has their name."""
    if not isinstance(selector, Mapping):
        return False
    names = [texts(selector.get("matchLabels")).get(_NAMESPACE_NAME)]
    for _, expression in mappings(selector.get("matchExpressions")):
        if expression.get("key") == _NAMESPACE_NAME and expression.get("operator") == "In":
            names.extend(str(value) for value in items(expression.get("values")))
    named = [name for name in names if name is not None]
    return not named or any(name in _DNS_NAMESPACES for name in named)


def _ray(policies: Sequence[Manifest], cluster: RayCluster) -> Iterator[Finding]:
    head = cluster.head.pods
    inward = _rules(policies, head, "Ingress")
    gcs = _number(cluster.head.start_params.get("port"), _GCS)
    cut: dict[tuple[Manifest, str], list[Pods]] = {}  # (policy, what is cut off) -> whose
    for group in cluster.workers:
        worker = group.pods
        if inward is not None and not _any(inward, "from", worker, gcs, head):
            cut.setdefault((inward[0][0], "in"), []).append(worker)
        outward = _rules(policies, worker, "Egress")
        if outward is not None and not _any(outward, "to", head, gcs, head):
            cut.setdefault((outward[0][0], "out"), []).append(worker)
        from_head = _rules(policies, worker, "Ingress")
        is_fixed = all(group.start_params.get(name) for name in _CHOSEN)
        if from_head is not None and not is_fixed and not _any_all_ports(from_head, "from", head):
            cut.setdefault((from_head[0][0], "ports"), []).append(worker)
    for (policy, what), found in cut.items():
        whose = listed((pods.what for pods in found), 3)
        if what == "ports":
            message = f"the head may not reach every port of {whose}: Ray chooses them, and replicas hang"
            yield error(
                "network/ray", policy, ("spec",), message, "allow all ports between the cluster's pods"
            )
        else:
            message = f"the head's port {gcs} is closed to {whose} ({what}ward): they never join"
            fix = f"allow {gcs} and Ray's other ports between the cluster's pods"
            yield error("network/ray", policy, ("spec",), message, fix)
    if inward is not None and cluster.owner.kind in ("RayService", "RayJob"):
        yield from _operator(cluster, inward)


def _any(rules: Rules, key: str, peer: Pods, port: int, target: Pods) -> bool:
    return any(
        _allows(rule, port, names=target.port_names()) and _reaches(rule, key, peer) for _, rule in rules
    )


def _any_all_ports(rules: Rules, key: str, peer: Pods) -> bool:
    """Whether some rule allows a wide range, as Ray's own ports need."""
    return any(
        _allows(rule, 10002) and _allows(rule, 19999) and _reaches(rule, key, peer) for _, rule in rules
    )


def _operator(cluster: RayCluster, inward: Rules) -> Iterator[Finding]:
    """KubeRay's operator speaks to the dashboard, and is in another namespace as a rule."""
    for _, rule in inward:
        peers = [peer for _, peer in mappings(rule.get("from"))]
        # One in the same namespace has labels of its own.
        is_from_others = not peers or any(
            "ipBlock" in peer
            or "namespaceSelector" in peer
            or not selects(peer.get("podSelector"), cluster.head.pods)
            for peer in peers
        )
        if is_from_others and _allows(rule, _DASHBOARD, names=cluster.head.pods.port_names()):
            return
    message = f"KubeRay's operator may not reach the head's port {_DASHBOARD}: the {cluster.owner.kind} is never ready"
    fix = f"allow {_DASHBOARD} from the operator's namespace"
    yield warning("network/operator", inward[0][0], ("spec",), message, fix)


def _ranges(policy: Manifest) -> Iterator[Finding]:
    for direction in ("ingress", "egress"):
        for rule_index, rule in mappings(policy.get("spec", direction)):
            for index, entry in mappings(rule.get("ports")):
                first, last = entry.get("port"), entry.get("endPort")
                path = ("spec", direction, rule_index, "ports", index, "endPort")
                if isinstance(last, int) and not isinstance(first, int):
                    yield error(
                        "network/port", policy, path, "endPort needs a port that is a number", "write port"
                    )
                elif isinstance(first, int) and isinstance(last, int) and last < first:
                    yield error(
                        "network/port", policy, path, f"endPort {last} is below port {first}", "swap them"
                    )


def _number(value: object, default: int) -> int:
    return int(value) if isinstance(value, str) and value.isdigit() else default
