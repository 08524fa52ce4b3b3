"""Pods against Karpenter's NodePools: labels, taints, sizes, limits.

A pod that asks for a pool (a label that a pool gives, or its name) must find one that lets it in; one that asks for
labels that none gives may be meant for nodes that no file says anything of, and is warned of. Only a pool whose
instance types are all known by their names is held to their sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.instances import allocatable_cpu_millis, allocatable_memory_mib
from cluster.lint.findings import Finding
from cluster.lint.manifest import at, error, items, mapping, mappings, warning
from cluster.lint.pools import Pool, is_pinned, pools_of, taints_against, terms_of
from cluster.lint.quantities import amount, gib
from cluster.lint.rules.containers import resources_of
from cluster.lint.words import closest, listed
from cluster.lint.world import Pods, World
from configs.instances import Instance

_GPU, _NEURON, _NEURON_CORE = "nvidia.com/gpu", "aws.amazon.com/neuron", "aws.amazon.com/neuroncore"
_MIB = 2**20
# Of the autoscaler's container that KubeRay adds to the head, unless autoscalerOptions.resources says otherwise.
_AUTOSCALER = {"cpu": "500m", "memory": "512Mi"}


def check(world: World) -> Iterator[Finding]:
    pools = pools_of(world)
    if not pools:
        return
    for pool in pools:
        yield from _possible(pool)
    wanted: dict[str, list[Pods]] = {pool.name: [] for pool in pools}
    for pods in world.pods:
        terms = terms_of(pods)
        by_label = [pool for pool in pools if any(all(map(pool.supplies, term)) for term in terms)]
        if is_pinned(terms, pools):
            yield from _pinned(pods, pools, by_label)
            if len(by_label) == 1:
                wanted[by_label[0].name].append(pods)
        elif not by_label:
            yield _no_pool(pods, pools)
        else:
            yield from _devices(pods, by_label)
    for pool in pools:
        yield from _limits(pool, wanted[pool.name])


def needs(pods: Pods) -> dict[str, float]:
    """What a pod asks of its node: cpu in cores, memory in bytes, devices."""
    names = {name for _, container in pods.containers(with_init=True) for name in _resource_names(container)}
    found = {}
    for name in names:
        together = sum(resources_of(container, name) or 0.0 for _, container in pods.containers())
        first = [resources_of(each, name) or 0.0 for _, each in mappings(pods.spec.get("initContainers"))]
        found[name] = max([together, *first])
    for name, value in _autoscaler(pods).items():
        found[name] = found.get(name, 0.0) + (amount(value) or 0.0)
    return found


def _autoscaler(pods: Pods) -> Mapping[str, Any]:
    """What the container beside Ray's asks for, where there is one."""
    spec = mapping(pods.owner.get(*pods.path[:-2])) if pods.role == "head" else {}
    if spec.get("enableInTreeAutoscaling") is not True:
        return {}
    return mapping(at(spec, "autoscalerOptions", "resources", "requests")) or _AUTOSCALER


def _resource_names(container: Mapping[str, Any]) -> set[str]:
    return {str(name) for key in ("requests", "limits") for name in mapping(at(container, "resources", key))}


def _pinned(pods: Pods, pools: Sequence[Pool], by_label: Sequence[Pool]) -> Iterator[Finding]:
    if not by_label:
        yield _no_pool(pods, pools)
        return
    tolerated = [pool for pool in by_label if not taints_against(pods, pool)]
    if not tolerated:
        pool = by_label[0]
        taint = taints_against(pods, pool)[0]
        shown = f"{taint.get('key')}={taint.get('value', '')}:{taint.get('effect')}".replace("=:", ":")
        message = f"the taint {shown} of NodePool {pool.name} keeps {pods.what} away: no node for them, ever"
        yield error(
            "fit/taint", pods.owner, pods.spec_path, message, f"add a toleration for {taint.get('key')}"
        )
        return
    known = [(pool, pool.instances) for pool in tolerated]
    if any(instances is None for _, instances in known):
        return
    need = needs(pods)
    fits = [instance for _, instances in known for instance in instances or () if not _short(need, instance)]
    # Of a pool that allows no instance at all, it is said already.
    if not fits and any(instances for _, instances in known):
        yield _too_large(pods, need, [(pool, instances or []) for pool, instances in known])


def _no_pool(pods: Pods, pools: Sequence[Pool]) -> Finding:
    asked = {
        str(each["key"]): [str(value) for value in items(each.get("values"))]
        for term in terms_of(pods)
        for each in term
        if "key" in each
    }
    key = next(
        (
            key
            for key, values in asked.items()
            if not any(pool.supplies({"key": key, "operator": "In", "values": values}) for pool in pools)
        ),
        "",
    )
    path = (*pods.spec_path, "nodeSelector" if "nodeSelector" in pods.spec else "affinity")
    if not key:
        message = f"no NodePool among these files has all labels that {pods.what} must have"
        return warning("fit/labels", pods.owner, path, message, "ask for those of one pool")
    values = asked[key]
    known = sorted({pool.labels[key] for pool in pools if key in pool.labels})
    meant = closest(values[0], known) if values else None
    fix = (
        f"did you mean {meant}?"
        if meant
        else f"use one of {listed(known)}"
        if known
        else "give a NodePool that label"
    )
    message = f"no NodePool among these files gives {key} {listed(values)}, as {pods.what} must have"
    where = (*path, key) if path[-1] == "nodeSelector" else path
    return warning("fit/labels", pods.owner, where, message, fix)


def _short(need: Mapping[str, float], instance: Instance) -> dict[str, tuple[float, float]]:
    """What the instance lacks: name -> (needed, there)."""
    cores = (
        0 if instance.neuron is None else instance.neuron.num_chips * instance.neuron.physical_cores_per_chip
    )
    room = {
        "cpu": allocatable_cpu_millis(instance.num_vcpus) / 1000,
        "memory": float(allocatable_memory_mib(instance) * _MIB),
        _GPU: float(instance.num_gpus),
        _NEURON: float(0 if instance.neuron is None else instance.neuron.num_chips),
        _NEURON_CORE: float(cores),
    }
    return {
        name: (number, room[name]) for name, number in need.items() if name in room and number > room[name]
    }


def _too_large(
    pods: Pods, need: Mapping[str, float], known: Sequence[tuple[Pool, list[Instance]]]
) -> Finding:
    choices = [instance for _, instances in known for instance in instances]
    pools = listed(pool.name for pool, _ in known)
    nearest = min(choices, key=lambda each: (len(_short(need, each)), -each.num_vcpus))
    short = [_shown(name, *numbers) for name, numbers in _short(need, nearest).items()]
    what = f"nearest is {nearest.name}, with {listed(short)}"
    message = f"no instance type of NodePool {pools} has room for {pods.what}; {what}"
    return error(
        "fit/instance", pods.owner, pods.spec_path, message, "ask for less, or allow larger instances"
    )


def _shown(name: str, needed: float, there: float) -> str:
    if name == "memory":
        return f"memory {gib(there)} for {gib(needed)}"
    return f"{name} {there:g} for {needed:g}"


def _devices(pods: Pods, by_label: Sequence[Pool]) -> Iterator[Finding]:
    """Pods with devices that name no pool: some pool has them, and lets them in."""
    need = needs(pods)
    for name in (_GPU, _NEURON, _NEURON_CORE):
        if name not in need or any(pool.instances is None for pool in by_label):
            continue
        having = [
            pool
            for pool in by_label
            if any(name not in _short({name: need[name]}, each) for each in pool.instances or ())
        ]
        kept_out = [pool for pool in having if taints_against(pods, pool)]
        if having and len(kept_out) == len(having):
            taint = taints_against(pods, having[0])[0]
            key = taint.get("key")
            message = (
                f"the taint {key} of NodePool {having[0].name}, which has {name}, keeps {pods.what} away"
            )
            yield warning("fit/taint", pods.owner, pods.spec_path, message, f"add a toleration for {key}")


def _possible(pool: Pool) -> Iterator[Finding]:
    if pool.instances == []:
        path = ("spec", "template", "spec", "requirements")
        message = "the requirements leave no instance type"
        yield error(
            "fit/requirements", pool.manifest, path, message, "check arch and families against each other"
        )


def _limits(pool: Pool, pods: Sequence[Pods]) -> Iterator[Finding]:
    """What the groups may grow to, against what the pool may buy."""
    for name in ("cpu", "memory", _GPU):
        limit = amount(mapping(pool.manifest.get("spec", "limits")).get(name))
        if limit is None or any(each.maximum is None for each in pods):
            continue
        most = sum((each.maximum or 0) * needs(each).get(name, 0.0) for each in pods)
        if most > limit:
            shown = (gib(most), gib(limit)) if name == "memory" else (f"{most:g}", f"{limit:g}")
            whose = listed(each.what for each in pods)
            message = f"at the most, {name} {shown[0]} for {whose}; the pool's limit is {shown[1]}"
            yield warning(
                "fit/limits",
                pool.manifest,
                ("spec", "limits", name),
                message,
                "raise the limit, or lower maxReplicas",
            )
