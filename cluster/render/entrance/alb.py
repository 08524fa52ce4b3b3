"""An Application Load Balancer by an Ingress: TLS, a web ACL, and the patience that long answers need.

Annotations: https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/; EKS Auto
Mode takes scheme and certificate from its class instead: https://docs.aws.amazon.com/eks/latest/userguide/auto-configure-alb.html
"""

from __future__ import annotations

import json

from cluster.render.entrance.backend import Backend
from cluster.render.objects import Object, metadata
from configs.schema import AlbEntrance, ClusterConfig

_CLASS = "alb"  # which the controller's chart makes
_OWN_CLASS = "manta-alb"  # in EKS Auto Mode nobody makes one
_ALB = "alb.ingress.kubernetes.io"
# TLS 1.3, and 1.2 with forward secrecy only.
_TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
# The most that a load balancer waits, by its own limits: without a byte, and for answers of a target that goes.
_MOST_IDLE_S = 4000
_MOST_DRAIN_S = 3600


def load_balancer(cluster: ClusterConfig, chosen: AlbEntrance, backend: Backend) -> list[Object]:
    """An Ingress; in EKS Auto Mode its class as well."""
    is_auto = cluster.compute == "auto-mode"
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(
            "manta", "entrance", backend.namespace, annotations=_annotations(chosen, backend, is_auto=is_auto)
        ),
        "spec": {
            "ingressClassName": _OWN_CLASS if is_auto else _CLASS,
            "rules": [{"host": chosen.domain, "http": {"paths": [_everything(backend)]}}],
        },
    }
    return [*_class(chosen), ingress] if is_auto else [ingress]


def _everything(backend: Backend) -> Object:
    service = {"name": backend.service, "port": {"number": backend.port}}
    return {"path": "/", "pathType": "Prefix", "backend": {"service": service}}


def _annotations(chosen: AlbEntrance, backend: Backend, *, is_auto: bool) -> dict[str, str]:
    made = {
        "target-type": "ip",
        "listen-ports": json.dumps([{"HTTPS": 443}]),
        "ssl-policy": _TLS_POLICY,
        "backend-protocol": "HTTP",
        "healthcheck-path": backend.health_path,
        "healthcheck-interval-seconds": "10",
        "success-codes": "200",
        "load-balancer-attributes": _pairs(
            {
                # A model that thinks sends nothing for as long as its deadline allows.
                "idle_timeout.timeout_seconds": str(min(backend.patience_s, _MOST_IDLE_S)),
                "routing.http.drop_invalid_header_fields.enabled": "true",
                "deletion_protection.enabled": "false",
            }
        ),
        "target-group-attributes": _pairs(
            {"deregistration_delay.timeout_seconds": str(min(backend.patience_s, _MOST_DRAIN_S))}
        ),
    }
    if not is_auto:
        made |= {"scheme": _scheme(chosen), "certificate-arn": chosen.certificate_arn}
    if chosen.waf_acl_arn is not None:
        made["wafv2-acl-arn"] = chosen.waf_acl_arn
    return {f"{_ALB}/{name}": value for name, value in sorted(made.items())}


def _class(chosen: AlbEntrance) -> list[Object]:
    group = "eks.amazonaws.com"
    parameters = {"apiGroup": group, "kind": "IngressClassParams", "name": _OWN_CLASS}
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "IngressClassParams",
            "metadata": metadata(_OWN_CLASS, "entrance"),
            "spec": {"scheme": _scheme(chosen), "certificateARNs": [chosen.certificate_arn]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": metadata(_OWN_CLASS, "entrance"),
            "spec": {"controller": f"{group}/alb", "parameters": parameters},
        },
    ]


def _scheme(chosen: AlbEntrance) -> str:
    return "internal" if chosen.internal else "internet-facing"


def _pairs(attributes: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in attributes.items())
