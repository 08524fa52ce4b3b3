"""Which kinds a cluster has, and under which paths: what its discovery says, asked once for each apiVersion."""

from __future__ import annotations

from dataclasses import dataclass

from kuberay.asking import Asker
from kuberay.errors import Absent, KindMissing


@dataclass(frozen=True, slots=True)
class Resource:
    """How a kind is asked for."""

    api_version: str
    kind: str
    plural: str
    is_namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """Of one object, or, without a name, of all in a namespace, or in all of them."""
        if self.is_namespaced and name:
            namespace = namespace or "default"
        place = f"/namespaces/{namespace}" if self.is_namespaced and namespace else ""
        return f"{_root(self.api_version)}{place}/{self.plural}" + (f"/{name}" if name else "")


class Kinds:
    """The cluster's kinds. What was not there is asked for again: operators bring kinds at any time."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._resources: dict[tuple[str, str], Resource] = {}  # (apiVersion, kind) -> how to ask for it

    def has(self, api_version: str, kind: str) -> bool:
        if (api_version, kind) not in self._resources:
            self._discover(api_version)
        return (api_version, kind) in self._resources

    def resource(self, api_version: str, kind: str) -> Resource:
        """How to ask for a kind.

        Raises:
            KindMissing: the cluster does not have it.
        """
        if not self.has(api_version, kind):
            raise KindMissing(f"the cluster has no kind {kind} ({api_version})", api_version, kind)
        return self._resources[api_version, kind]

    def _discover(self, api_version: str) -> None:
        try:
            found = self._asker.ask("get", _root(api_version), f"list the kinds of {api_version}").document
        except Absent:
            return
        for one in found.get("resources") or ():
            if "/" not in one["name"]:  # the others are subresources
                resource = Resource(api_version, one["kind"], one["name"], bool(one.get("namespaced")))
                self._resources[api_version, resource.kind] = resource


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
