"""How a new version of Ray takes over, and which Service leads to the version that answers meanwhile.

KubeRay's own Service leads to one cluster of Ray: during an upgrade by steps to the old one until the new one has all
the traffic, and by then the old one may be empty. Only the Gateway that KubeRay makes leads to both
(KubeRay v1.7.0, ray-operator/controllers/ray/rayservice_controller.go).
"""

from __future__ import annotations

from cluster.render import names
from cluster.section import cluster_of
from configs.schema import GatewayApiEntrance, PlatformConfig

# Whose Service before a Gateway's proxies has a name that can be known
# (https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/#automated-deployment).
_ISTIO = "istio"
_GATEWAY_PORT = 80  # of the listener that KubeRay writes


def goes_by_steps(config: PlatformConfig) -> bool:
    """Whether traffic moves by steps: where a Gateway can share it out, and whoever asks Ray can be led to that.

    LiteLLM can be told an address of any class (`litellm.upstream`). Without it the entrance leads to Ray itself, by
    the name of a Service; behind a class whose names are not known a new version takes over at once.
    """
    entrance, has_litellm = cluster_of(config).entrance, cluster_of(config).parts.litellm is not None
    return isinstance(entrance, GatewayApiEntrance) and (has_litellm or entrance.gateway_class == _ISTIO)


def service_of_ray(config: PlatformConfig) -> tuple[str, int] | None:
    """Service in the application's namespace, and its port; None: the class gives it a name that is not known."""
    entrance = cluster_of(config).entrance
    if not goes_by_steps(config):
        return names.SERVE_SERVICE, names.HTTP_PORT
    if isinstance(entrance, GatewayApiEntrance) and entrance.gateway_class == _ISTIO:
        return f"{names.RAY_GATEWAY}-{_ISTIO}", _GATEWAY_PORT
    return None
