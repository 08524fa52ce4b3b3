"""What a plan can be made of and is likely not meant: told with the plan, refused by nobody. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cluster.plan_types import Forced, Replica, WorkerGroup
from cluster.section import cluster_of
from configs.schema import PlatformConfig, VllmModel

_ZEROS = re.compile(r"@sha256:0{64}$")


def warnings(config: PlatformConfig, groups: Sequence[WorkerGroup]) -> Iterator[Forced]:
    """Each with the line of the profile to look at."""
    yield from _images(config)
    yield from _streams(config)
    yield from _proxy(config)
    for group in groups:
        yield from _spot_alone(group)
        for replica in group.replicas:
            yield from _one_replica(replica)
    yield from _starts(config, groups)


def _images(config: PlatformConfig) -> Iterator[Forced]:
    images = cluster_of(config).images
    for name in type(images).model_fields:
        image = getattr(images, name)
        if image is not None and _ZEROS.search(image):
            yield Forced(f"cluster.images.{name}", "the digest is zeros: no image has been named yet")


def _streams(config: PlatformConfig) -> Iterator[Forced]:
    grace_s, longest_s = config.ingress.scaling.graceful_shutdown_timeout_s, config.ingress.default_deadline_s
    if grace_s < longest_s:
        yield Forced(
            "ingress.scaling.graceful_shutdown_timeout_s",
            f"{grace_s:g} s, and a request may take {longest_s:g} s (ingress.default_deadline_s): when a pod goes, "
            "longer streams are cut",
        )


def _proxy(config: PlatformConfig) -> Iterator[Forced]:
    """LiteLLM's processes share a port, and each counts for itself."""
    settings = config.litellm
    if cluster_of(config).parts.litellm is None or settings is None or settings.num_workers == 1:
        return
    if "prometheus" in settings.callbacks:
        yield Forced(
            "litellm.num_workers",
            f"{settings.num_workers}: Prometheus finds one of a pod's processes at a time, and its counters jump; "
            "take more pods instead (cluster.parts.litellm)",
        )


def _spot_alone(group: WorkerGroup) -> Iterator[Forced]:
    if group.capacity == ("spot",) and group.min_pods:
        yield Forced(
            f"cluster.pools.{group.role}.capacity",
            f"spot alone: {group.name} has no node for as long as AWS has none to spare",
        )


def _one_replica(replica: Replica) -> Iterator[Forced]:
    if replica.min_replicas == 1 and replica.deployment in ("Ingress", "Agent", "KnowledgeBase", "Embedder"):
        yield Forced(
            f"{replica.key}.scaling.min_replicas",
            f"1: while its pod is replaced nothing of {replica.name} answers",
        )


def _starts(config: PlatformConfig, groups: Sequence[WorkerGroup]) -> Iterator[Forced]:
    """Waits that end before what they wait for can be there."""
    by_deployment = {replica.deployment: group for group in groups for replica in group.replicas}
    for index, model in enumerate(config.models):
        cold = by_deployment[f"Model-{model.name.replace('/', '-')}"].cold_start
        patience_s = model.scaling.autoscaler.cold_start_timeout_s
        if model.scaling.min_replicas == 0 and patience_s < cold.total_s:
            yield Forced(
                f"models.{index}.scaling.autoscaler.cold_start_timeout_s",
                f"{patience_s:g} s, and a start from nothing takes about {cold.total_s:.0f} s: who wakes it gets 503",
            )
        starts_s = cold.weights_s + cold.start_s
        if isinstance(model, VllmModel) and model.start_timeout_s < starts_s:
            yield Forced(
                f"models.{index}.start_timeout_s",
                f"{model.start_timeout_s:g} s, and fetching and loading take about {starts_s:.0f} s: it never starts",
            )
