"""What Serve shall run, against the pods that it runs in: room for each replica, for all of them, and time to end.

Only replicas whose resources the config names are placed: those that stand in the application's code, nobody sees here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import InnerText, error, items, mapping, mappings, note, texts, warning
from cluster.lint.rules.containers import grace_s
from cluster.lint.rules.ray import Capacity, capacity
from cluster.lint.rules.serve import serve_config
from cluster.lint.serve_config import deployments, replica_bounds
from cluster.lint.words import listed
from cluster.lint.world import RayCluster, RayGroup, World
from cluster.lint.yaml_text import Path


def check(world: World) -> Iterator[Finding]:
    for cluster in world.ray_clusters:
        config = serve_config(cluster.owner) if cluster.owner.kind == "RayService" else None
        if config is not None:
            yield from _fits(cluster, config)
            yield from _grace(cluster, config)


def _needs(deployment: Mapping[str, Any]) -> list[tuple[Path, dict[str, float]]]:
    """What has to be on one node: the replica, or each bundle of its placement group."""
    bundles = mappings(deployment.get("placement_group_bundles"))
    if bundles:
        return [(("placement_group_bundles", index), _bundle(bundle)) for index, bundle in bundles]
    options = mapping(deployment.get("ray_actor_options"))
    need = {
        name: float(options[name])
        for name in ("num_cpus", "num_gpus", "memory")
        if _is_number(options.get(name))
    }
    others = mapping(options.get("resources"))
    need |= {
        str(name): float(number)
        for name, number in others.items()
        if _is_number(number) and not _is_found(name)
    }
    return [(("ray_actor_options",), need)] if need else []


def _selects(deployment: Mapping[str, Any], group: RayGroup) -> bool:
    """Whether the group's nodes may have the labels that the replica asks for.

    Labels that Ray finds out on the node, `ray.io/accelerator-type`, may be anything.
    """
    selector = texts(mapping(deployment.get("ray_actor_options")).get("label_selector"))
    labels = texts(group.spec.get("labels"))
    for key, wanted in selector.items():
        has = labels.get(key)
        if has is None and key.startswith("ray.io/"):
            continue
        plain = wanted.removeprefix("!")
        among = plain[3:-1].split(",") if plain.startswith("in(") else [plain]
        if (has in [each.strip() for each in among]) is wanted.startswith("!"):
            return False
    return True


def _bundle(bundle: Mapping[str, Any]) -> dict[str, float]:
    names = {"CPU": "num_cpus", "GPU": "num_gpus"}
    return {
        names.get(key, key): float(value)
        for key, value in bundle.items()
        if _is_number(value) and not _is_found(key)
    }


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_found(name: object) -> bool:
    """Resources that Ray makes of what it finds on the node."""
    return str(name).startswith(("accelerator_type:", "node:", "bundle_group_"))


def _fits(cluster: RayCluster, config: InnerText) -> Iterator[Finding]:
    rooms = [(group, capacity(group)) for group in cluster.groups]
    placed = True
    for path, deployment in deployments(config):
        chosen = [(group, room) for group, room in rooms if _selects(deployment, group)]
        if not chosen:
            placed = False
            where: Path = (*path, "ray_actor_options", "label_selector")
            message = (
                f"{deployment.get('name')} asks for labels that no group of the cluster has: it never starts"
            )
            yield error("fit/labels", config, where, message, "give a group these labels")
            continue
        for where, need in _needs(deployment):
            lacking = [(group, room.lacks(need)) for group, room in chosen]
            if all(lacks for _, lacks in lacking):
                placed = False
                nearest, short = min(lacking, key=lambda each: len(each[1]))
                name = deployment.get("name")
                message = (
                    f"{name} fits no pod of the cluster; nearest is {nearest.name}, with {listed(short)}"
                )
                fix = "ask for less, or give a worker group more"
                yield error("fit/replica", config, (*path, *where), message, fix)
    if placed:
        yield from _together(cluster, config, rooms)


def _together(
    cluster: RayCluster, config: InnerText, rooms: list[tuple[RayGroup, Capacity]]
) -> Iterator[Finding]:
    """All replicas at once, against all pods that there can be."""
    never: list[str] = []
    late: list[str] = []
    for name in ("num_cpus", "num_gpus"):
        total = _total(cluster, name, rooms)
        if total is None:
            continue
        least = most = 0.0
        for _, deployment in deployments(config):
            number = sum(need.get(name, 0.0) for _, need in _needs(deployment))
            bounds = replica_bounds(deployment)
            least, most = least + bounds[0] * number, most + bounds[1] * number
        if least > total:
            never.append(f"{name} {least:g} of {total:g}")
        elif most > total:
            late.append(f"{name} {most:g} of {total:g}")
    path: Path = ("applications",)
    if never:
        message = (
            f"the replicas need more than all pods together have: {' and '.join(never)}; they never all start"
        )
        fix = "ask for fewer replicas, or raise maxReplicas of a group"
        yield error("fit/cluster", config, path, message, fix)
    elif late:
        message = f"at max_replicas they need more than all pods together have: {' and '.join(late)}"
        yield note(
            "fit/cluster", config, path, message, "raise maxReplicas of a group, or lower max_replicas"
        )


def _total(cluster: RayCluster, name: str, rooms: list[tuple[RayGroup, Capacity]]) -> float | None:
    """What all pods have of it when there are as many as may be; None if a group's share is not known."""
    total = 0.0
    for group, room in rooms:
        is_fixed = not cluster.is_autoscaled and group is not cluster.head
        count = _replicas(group) if is_fixed else group.pods.maximum
        number = room.cpus if name == "num_cpus" else room.gpus
        if count is None or number is None:
            return None
        total += count * number
    return total


def _replicas(group: RayGroup) -> int | None:
    count = group.spec.get("replicas", 0)
    return count if isinstance(count, int) else None


def _grace(cluster: RayCluster, config: InnerText) -> Iterator[Finding]:
    """Serve's time to finish requests, against the time that Kubernetes gives."""
    workers = [group.pods for group in cluster.workers if items(group.pods.spec.get("containers"))]
    if not workers:
        return
    shortest = min(workers, key=grace_s)
    for path, deployment in deployments(config):
        wait = deployment.get("graceful_shutdown_timeout_s")
        if isinstance(wait, (int, float)) and wait > grace_s(shortest):
            name, group = deployment.get("name"), shortest.group
            message = (
                f"{name} may take {wait:g} s to finish its requests, and the pods of {group} are killed after "
                f"{grace_s(shortest):g} s"
            )
            where = (*path, "graceful_shutdown_timeout_s")
            yield warning(
                "pods/grace",
                config,
                where,
                message,
                f"set terminationGracePeriodSeconds above {wait:g} there",
            )
