"""What a command is about: a rendered tree, or the name of what was applied before from one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.lifecycle.tree import read_tree
from configs.load import ProfileError
from kuberay.cluster import Cluster
from kuberay.history import History, Revision, State
from kuberay.objects import RAY, Document, at, ref_of
from kuberay.rayservice import RayService

_NAME = re.compile(r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?)/([a-z0-9]([a-z0-9-]*[a-z0-9])?)$")


@dataclass(frozen=True, slots=True)
class Target:
    """A RayService with what belongs to it; `waves` are those of a tree, None: only the cluster knows."""

    namespace: str
    name: str
    waves: tuple[tuple[Document, ...], ...] | None = None
    is_part: bool = False  # of a tree, whose history it shares

    def history(self, cluster: Cluster) -> History:
        return History(cluster, self.namespace, self.name)

    def service(self, cluster: Cluster) -> RayService:
        return RayService(cluster, self.namespace, self.name)

    def objects(self, revisions: Sequence[Revision]) -> tuple[tuple[Document, ...], ...]:
        """Waves of objects: the tree's, else those of the revision that is in force, else the RayService."""
        if self.waves is not None:
            return self.waves
        for one in revisions:
            if one.state is not State.ROLLED_BACK:
                return one.waves
        metadata = {"namespace": self.namespace, "name": self.name}
        return (({"apiVersion": RAY, "kind": "RayService", "metadata": metadata},),)

    def everything(self, revisions: Sequence[Revision]) -> tuple[tuple[Document, ...], ...]:
        """The same, and after it what any other revision had besides: all that may still be there."""
        waves = self.objects(revisions)
        if self.is_part:
            return waves
        known = {ref_of(one) for wave in waves for one in wave}
        others = {ref_of(one): one for revision in revisions for one in revision.objects}
        more = tuple(one for ref, one in others.items() if ref not in known)
        return (*waves, more) if more else waves


def read_target(text: str) -> Target:
    """A folder or file of manifests, or `NAMESPACE/NAME`.

    Raises:
        ProfileError: it is neither, or the manifests cannot be read.
    """
    path = Path(text)
    if path.exists():
        tree = read_tree(path)
        waves = tuple(wave.objects for wave in tree.waves)
        return Target(tree.namespace, tree.name, waves, tree.is_part)
    if found := _NAME.match(text):
        return Target(found.group(1), found.group(3))
    raise ProfileError(f"{text}: neither a folder or file of manifests, nor NAMESPACE/NAME of a RayService")


def namespaces_of(waves: Sequence[Sequence[Document]], own: str) -> set[str]:
    """Every namespace that objects make or are in."""
    found = {own}
    for wave in waves:
        for one in wave:
            found.add(
                one["metadata"]["name"]
                if one["kind"] == "Namespace"
                else at(one, "metadata", "namespace") or own
            )
    return found
