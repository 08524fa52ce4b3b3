"""The Serve configs of RayServices and of files."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.lint.findings import Finding, Severity
from cluster.lint.manifest import InnerText, Manifest, items, mapping, mappings, warning
from cluster.lint.serve_config import check as check_config
from cluster.lint.world import World

_PATH = ("spec", "serveConfigV2")
_DEFAULT_PORT = 8000


def check(world: World) -> Iterator[Finding]:
    for manifest in world.of("RayService"):
        if manifest.group == "ray.io":
            yield from _service(manifest)


def serve_config(manifest: Manifest) -> InnerText | None:
    """The Serve config of a RayService; None without one that can be read."""
    found = manifest.inner(*_PATH)
    return found[0] if found and isinstance(found[0].data, dict) else None


def _service(manifest: Manifest) -> Iterator[Finding]:
    text = manifest.get(*_PATH)
    documents = manifest.inner(*_PATH)
    if not documents:
        # An empty text is what a RayService without one has; the operator then serves nothing.
        if "serveConfigV2" not in mapping(manifest.get("spec")) or isinstance(text, str):
            message = "no serveConfigV2: the cluster starts, and serves nothing"
            yield warning("serve/config", manifest, _PATH, message, "add serveConfigV2 with applications")
        return
    inner = documents[0]
    for fault in inner.document.faults:
        place = inner.line_place(fault.line, fault.path)
        yield Finding(Severity.ERROR, "serve/yaml", place, fault.message, fault.fix, manifest.title)
    if inner.data is not None:
        yield from check_config(inner)
        yield from _port(manifest, inner)


def _port(manifest: Manifest, inner: InnerText) -> Iterator[Finding]:
    """Serve's port, and the one that KubeRay's service leads to."""
    port = mapping(mapping(inner.data).get("http_options")).get("port", _DEFAULT_PORT)
    containers = manifest.get("spec", "rayClusterConfig", "headGroupSpec", "template", "spec", "containers")
    ports = mappings(mapping(items(containers)[0]).get("ports")) if items(containers) else []
    named = {str(each.get("name")): each.get("containerPort") for _, each in ports}
    wanted = named.get("serve", _DEFAULT_PORT if not ports else None)
    if wanted is not None and port != wanted:
        message = (
            f"Serve listens on {port}, and the port named serve, which the service leads to, is {wanted}"
        )
        yield warning(
            "serve/port",
            inner,
            ("http_options", "port"),
            message,
            f"write {wanted}, or change the port of the head's container",
        )
