"""A Gateway and an HTTPRoute: TLS at the listener, and weights where a second version gets some of the requests.

https://gateway-api.sigs.k8s.io/ (v1.6.1, standard channel). Whose proxies these are is the class's matter.
"""

from __future__ import annotations

from cluster.render import names
from cluster.render.entrance.backend import Backend
from cluster.render.objects import Object, metadata
from configs.schema import GatewayApiEntrance

_API = "gateway.networking.k8s.io/v1"
_NAME = names.ENTRANCE


def gateway(chosen: GatewayApiEntrance, backend: Backend) -> list[Object]:
    """The Gateway beside what is behind it, and the route between the two."""
    return [
        {
            "apiVersion": _API,
            "kind": "Gateway",
            "metadata": metadata(_NAME, "entrance", backend.namespace),
            "spec": {
                "gatewayClassName": chosen.gateway_class,
                "infrastructure": {"annotations": _of_the_service(chosen)},
                "listeners": [_listener(chosen)],
            },
        },
        {
            "apiVersion": _API,
            "kind": "HTTPRoute",
            "metadata": metadata(_NAME, "entrance", backend.namespace),
            "spec": {
                "parentRefs": [{"name": _NAME, "sectionName": _listener(chosen)["name"]}],
                "hostnames": [chosen.domain],
                "rules": [
                    {
                        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                        "backendRefs": _backends(chosen, backend),
                        # Of requests, first byte to last: as long as the application itself allows.
                        "timeouts": {"request": f"{backend.patience_s}s"},
                    }
                ],
            },
        },
    ]


def _of_the_service(chosen: GatewayApiEntrance) -> dict[str, str]:
    """What the controller passes on to the Service of its proxies, and AWS makes a Network Load Balancer of.

    https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/service/annotations/
    """
    prefix = "service.beta.kubernetes.io/aws-load-balancer"
    return {
        f"{prefix}-type": "external",
        f"{prefix}-nlb-target-type": "ip",
        f"{prefix}-scheme": "internal" if chosen.internal else "internet-facing",
    }


def _listener(chosen: GatewayApiEntrance) -> Object:
    routes = {"namespaces": {"from": "Same"}}
    if chosen.tls_secret is None:
        return {
            "name": "http",
            "protocol": "HTTP",
            "port": 80,
            "hostname": chosen.domain,
            "allowedRoutes": routes,
        }
    return {
        "name": "https",
        "protocol": "HTTPS",
        "port": 443,
        "hostname": chosen.domain,
        "tls": {"mode": "Terminate", "certificateRefs": [{"name": chosen.tls_secret}]},
        "allowedRoutes": routes,
    }


def _backends(chosen: GatewayApiEntrance, backend: Backend) -> list[Object]:
    canary = chosen.canary
    share = 0 if canary is None else canary.weight_percent
    made = [{"name": backend.service, "port": backend.port, "weight": 100 - share}]
    if canary is not None:
        made.append({"name": canary.service, "port": canary.port, "weight": share})
    return made
