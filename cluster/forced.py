"""Which line of the profile makes what necessary: for whoever wonders at a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.plan_types import Forced, Replica, WorkerGroup
from cluster.section import cluster_of
from configs.schema import PlatformConfig


def forced(config: PlatformConfig, groups: Sequence[WorkerGroup]) -> Iterator[Forced]:
    """Each with the line that forces it."""
    cluster = cluster_of(config)
    for group in groups:
        for replica in group.replicas:
            yield from _forced_by(replica, group)
    for role in ("ingress", "embedding", "cpu", "gpu", "neuron"):
        pool = cluster.pool(role)
        if pool is not None and "spot" in pool.capacity and any(group.role == role for group in groups):
            yield Forced(
                f"cluster.pools.{role}.capacity",
                "nodes may be taken back at two minutes' notice: new calls go elsewhere, and what lasts longer breaks",
            )
    if cluster.entrance.kind == "gateway-api":
        upgrade = cluster.upgrade
        yield Forced(
            "cluster.entrance.kind",
            f"a new version takes over by {upgrade.step_percent} % every {upgrade.interval_s} s, beside the old one",
        )
    else:
        yield Forced(
            "cluster.entrance.kind",
            "a new version of Ray's cluster needs the room of a whole second one while it starts",
        )


def _forced_by(replica: Replica, group: WorkerGroup) -> Iterator[Forced]:
    best = group.best
    if replica.instance_type is not None:
        yield Forced(
            f"{replica.key}.neuron.instance_type", f"{group.name} runs on {replica.instance_type} only"
        )
    devices = replica.num_gpus or replica.num_neuron_cores
    if devices:
        kind = "GPUs" if replica.num_gpus else "NeuronCores"
        yield Forced(
            f"{replica.key}.tensor_parallel_size",
            f"{devices} {kind} a pod of {group.name}: {best.pods_per_node} a {best.instance.name}",
        )
    if replica.device_memory_gib is not None:
        smaller = [
            misfit.instance.name
            for misfit in group.misfits
            if any(text.startswith("device memory") for text in misfit.shortfalls)
        ]
        if smaller:
            yield Forced(
                f"cluster.replicas.{replica.name}.device_memory_gib",
                f"{replica.device_memory_gib:g} GiB on devices: not on {', '.join(smaller)}",
            )
    if group.role != "ingress":
        yield Forced(
            f"{replica.key}.scaling",
            f"{replica.min_replicas} to {replica.max_replicas} pods of {group.name}, {group.peak_pods} while an update "
            f"is under way (max_surge_percent)",
        )
