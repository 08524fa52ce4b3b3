"""The objects of whichever way in `cluster.entrance` chooses."""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render.entrance.alb import load_balancer
from cluster.render.entrance.backend import backend_of
from cluster.render.entrance.gateway_api import gateway
from cluster.render.objects import Object
from cluster.section import cluster_of
from configs.schema import AlbEntrance, PlatformConfig


def entrance(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """An Ingress, or a Gateway and its routes."""
    chosen, backend = cluster_of(config).entrance, backend_of(config, plan)
    if isinstance(chosen, AlbEntrance):
        return load_balancer(cluster_of(config), chosen, backend)
    return gateway(chosen, backend)
