"""Objects of the trees that tests apply, and clusters that forbid things."""

from collections.abc import Callable
from typing import Any

from apiserver.server import ApiServer, Fault
from click.testing import Result

Make = Callable[..., dict[str, Any]]
Run = Callable[..., Result]
NAMESPACE = "manta"
DENIED = 'admission webhook "policy.example.com" denied the request: images need a digest'
NO_DRY_RUN = 'admission webhook "audit.example.com" does not support dry run'


def named(
    kind: str, name: str, api_version: str = "v1", namespace: str = NAMESPACE, **more: Any
) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata} | more


def deployment(name: str = "litellm", replicas: int = 2) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": name, "image": name}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return named("Deployment", name, "apps/v1", spec=spec)


def config_of(api: ApiServer) -> str:
    service = api.get("RayService", NAMESPACE, "manta")
    assert service is not None
    return str(service["spec"]["serveConfigV2"])


def forbid(api: ApiServer, method: str, path: str) -> None:
    api.faults.append(
        Fault(
            "403",
            method=method,
            path=path,
            times=10_000,
            reason="Forbidden",
            message='is forbidden: User "me" cannot do that',
        )
    )
