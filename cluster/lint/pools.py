"""Karpenter's NodePools: which labels, taints and instance types their nodes have, and which pods those let in.

Only a pool whose instance types are all known by their names (`configs.instances`) tells what its nodes are like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cluster.lint.manifest import Manifest, at, items, mappings, texts
from cluster.lint.world import Pods, World
from configs.instances import FAMILIES, INSTANCES, Instance

_POOL = "karpenter.sh/nodepool"
_TYPE, _FAMILY = "node.kubernetes.io/instance-type", "karpenter.k8s.aws/instance-family"
# A node has labels with these prefixes whatever its pool says; EKS Auto Mode has names of its own for Karpenter's.
_WELL_KNOWN = (
    "kubernetes.io/", "node.kubernetes.io/", "topology.kubernetes.io/", "karpenter.sh/", "karpenter.k8s.aws/",
    "eks.amazonaws.com/", "topology.ebs.csi.aws.com/", "beta.kubernetes.io/", "failure-domain.beta.kubernetes.io/",
    "topology.k8s.aws/", "nvidia.com/", "feature.node.kubernetes.io/", "alpha.eksctl.io/", "node-role.kubernetes.io/",
)  # fmt: skip

Expression = Mapping[str, Any]  # key, operator, values


@dataclass(frozen=True, eq=False)
class Pool:
    """A NodePool."""

    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @cached_property
    def labels(self) -> dict[str, str]:
        own = texts(self.manifest.get("spec", "template", "metadata", "labels"))
        return {**own, _POOL: self.name}

    @cached_property
    def requirements(self) -> list[Expression]:
        return [each for _, each in mappings(self.manifest.get("spec", "template", "spec", "requirements"))]

    @cached_property
    def taints(self) -> list[Mapping[str, Any]]:
        return [each for _, each in mappings(self.manifest.get("spec", "template", "spec", "taints"))]

    @cached_property
    def instances(self) -> list[Instance] | None:
        """The instance types that are allowed; None if not all of them are known here."""
        if not all(
            isinstance(value, str) for each in self.requirements for value in items(each.get("values"))
        ):
            return None
        named = _named(self.requirements, _TYPE)
        families = _named(self.requirements, _FAMILY) or _named(
            self.requirements, "eks.amazonaws.com/instance-family"
        )
        if named is not None and all(name in INSTANCES for name in named):
            found = [INSTANCES[name] for name in named]
        elif named is None and families is not None and all(name in FAMILIES for name in families):
            found = [instance for instance in INSTANCES.values() if instance.family in families]
        else:
            return None
        return [
            instance
            for instance in found
            if all(_holds(each, _facts(instance)) for each in self.requirements)
        ]

    def supplies(self, expression: Expression) -> bool:
        """Whether a node of the pool can have what a pod asks of labels."""
        key = str(expression.get("key", ""))
        if key in self.labels:
            return _holds(expression, {key: self.labels[key]})
        asked = {str(value) for value in items(expression.get("values"))}
        mine = [each for each in self.requirements if each.get("key") == key]
        if not mine and self.instances and key in _facts(self.instances[0]):
            return any(_holds(expression, _facts(instance)) for instance in self.instances)
        if not mine and not key.startswith(_WELL_KNOWN):
            return expression.get("operator") in ("NotIn", "DoesNotExist")
        if expression.get("operator") != "In" or not mine:
            return expression.get("operator") != "DoesNotExist" or not mine
        return any(all(_holds(each, {key: value}) for each in mine) for value in asked)


def pools_of(world: World) -> list[Pool]:
    """The NodePools among the files."""
    return [Pool(manifest) for manifest in world.of("NodePool") if manifest.group == "karpenter.sh"]


def candidates(pods: Pods, pools: Sequence[Pool]) -> list[Pool]:
    """The pools on whose nodes the pods may run."""
    terms = terms_of(pods)
    return [
        pool
        for pool in pools
        if any(all(map(pool.supplies, term)) for term in terms) and not taints_against(pods, pool)
    ]


def terms_of(pods: Pods) -> list[list[Expression]]:
    """What a pod asks of labels: any of the lists, each in full."""
    selected: list[Expression] = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in texts(pods.spec.get("nodeSelector")).items()
    ]
    required = at(
        pods.spec,
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
    )
    terms = [[each for _, each in mappings(term.get("matchExpressions"))] for _, term in mappings(required)]
    return [[*selected, *term] for term in terms] or [selected]


def is_pinned(terms: Sequence[Sequence[Expression]], pools: Sequence[Pool]) -> bool:
    """Whether every way leads through a label that only a pool gives."""
    given = {key for pool in pools for key in pool.labels}
    return all(
        any(each.get("key") in given and each.get("operator") == "In" for each in term) for term in terms
    )


def taints_against(pods: Pods, pool: Pool) -> list[Mapping[str, Any]]:
    """The pool's taints that keep these pods away."""
    tolerations = [each for _, each in mappings(pods.spec.get("tolerations"))]
    hard = [taint for taint in pool.taints if taint.get("effect") != "PreferNoSchedule"]
    return [taint for taint in hard if not any(_tolerates(each, taint) for each in tolerations)]


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return toleration.get("key") == taint.get("key") and toleration.get("value", "") == taint.get("value", "")


def _named(requirements: Sequence[Expression], key: str) -> list[str] | None:
    for each in requirements:
        if each.get("key") == key and each.get("operator") == "In":
            return [str(value) for value in items(each.get("values"))]
    return None


def _facts(instance: Instance) -> dict[str, str]:
    """The labels of a node of that type, as Karpenter sets them."""
    family, size = instance.family, instance.name.partition(".")[2]
    facts = {
        "kubernetes.io/arch": instance.architecture,
        "kubernetes.io/os": "linux",
        _TYPE: instance.name,
    }
    generation = "".join(letter for letter in family if letter.isdigit())
    own = {
        "instance-family": family,
        "instance-size": size,
        "instance-category": family[: len(family) - len(family.lstrip("abcdefghijklmnopqrstuvwxyz"))],
        "instance-generation": generation,
        "instance-cpu": str(instance.num_vcpus),
        "instance-memory": str(instance.memory_mib),
        "instance-gpu-count": str(instance.num_gpus),
    }
    return facts | {
        f"{prefix}/{key}": value
        for key, value in own.items()
        for prefix in ("karpenter.k8s.aws", "eks.amazonaws.com")
    }


def _holds(expression: Expression, labels: Mapping[str, str]) -> bool:
    """Whether labels keep the expression; of labels that are not known here, yes."""
    key, operator = str(expression.get("key", "")), expression.get("operator", "In")
    values = [str(value) for value in items(expression.get("values"))]
    if key not in labels:
        return True
    value = labels[key]
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator in ("Gt", "Lt", "Gte", "Lte") and values and value.isdigit() and values[0].isdigit():
        number, bound = int(value), int(values[0])
        return {"Gt": number > bound, "Lt": number < bound, "Gte": number >= bound, "Lte": number <= bound}[
            operator
        ]
    return bool(operator != "DoesNotExist")
