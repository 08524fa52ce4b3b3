"""What is behind the way in: LiteLLM where the profile has one, else the application itself.

During an upgrade by steps the application is behind KubeRay's own Gateway, which leads to both of its versions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cluster.litellm.render import PATIENCE_S
from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.upgrades import service_of_ray
from cluster.section import cluster_of
from configs.schema import PlatformConfig


@dataclass(frozen=True, slots=True)
class Backend:
    """A Service, and how long its answers may take."""

    namespace: str
    service: str
    port: int
    health_path: str
    patience_s: int  # the longest deadline that a request may ask for, and time to say that it is over


def backend_of(config: PlatformConfig, plan: ClusterPlan) -> Backend:
    """LiteLLM's Service, or the one that leads to whichever version of Ray answers."""
    cluster = cluster_of(config)
    patience_s = math.ceil(config.ingress.max_deadline_s + PATIENCE_S)
    if cluster.parts.litellm is not None:
        return Backend(
            cluster.namespaces.gateway, names.LITELLM, names.LITELLM_PORT, "/health/liveliness", patience_s
        )
    health_path = f"{str(plan.application.get('route_prefix', '/')).rstrip('/')}/healthz"
    found = service_of_ray(config)
    assert found is not None  # without LiteLLM upgrades go by steps only where it is known
    return Backend(cluster.namespaces.application, *found, health_path, patience_s)
