"""What can be known before anything is applied: that the cluster has every kind, and would take every object."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cluster.lifecycle.operators import bringer
from cluster.lifecycle.tree import Tree
from kuberay.cluster import Applied, Cluster
from kuberay.errors import Absent, KindMissing, Refused
from kuberay.objects import Document, Ref, at, ref_of

Tell = Callable[[str], None]
SPARE_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Checked:
    """The server's word on every object. What could not be asked is not in it."""

    applied: tuple[Applied, ...]
    refused: tuple[Refused, ...]
    unasked: tuple[str, ...]  # why, an object each


def missing_kinds(cluster: Cluster, tree: Tree) -> list[tuple[str, str]]:
    """(apiVersion, kind) of the tree's that the cluster lacks, and that the tree does not define itself."""
    defined = set(_defined(tree.objects))
    kinds = dict.fromkeys((one["apiVersion"], one["kind"]) for one in tree.objects)
    return [kind for kind in kinds if kind not in defined and not cluster.knows(*kind)]


def refuse_missing_kinds(missing: Iterable[tuple[str, str]]) -> None:
    """
    Raises:
        KindMissing: there are some; says which and what brings them.
    """
    lacks: dict[str, list[str]] = {}
    for api_version, kind in missing:
        lacks.setdefault(bringer(api_version), []).append(f"{kind} ({api_version})")
    if lacks:
        words = "; ".join(f"{', '.join(kinds)}: install {who}" for who, kinds in lacks.items())
        raise KindMissing(f"nothing was applied: the cluster lacks {words}")


def check(cluster: Cluster, tree: Tree, *, manager: str, force: bool) -> Checked:
    """Ask the server about every object without changing anything (server-side dry run).

    An object whose namespace this very tree makes is asked about in the namespace `default`: a dry run makes no
    namespaces, and the schema is the same everywhere.
    """
    made = {one["metadata"]["name"] for one in tree.objects if one["kind"] == "Namespace"}
    defined = set(_defined(tree.objects))
    absent = {name for name in made if cluster.get(Ref("v1", "Namespace", "", name)) is None}
    applied: list[Applied] = []
    refused: list[Refused] = []
    unasked: list[str] = []
    for one in tree.objects:
        if (one["apiVersion"], one["kind"]) in defined and not cluster.knows(one["apiVersion"], one["kind"]):
            unasked.append(f"{ref_of(one)}: its kind is made by the tree itself")
            continue
        is_early = one["metadata"].get("namespace") in absent
        try:
            # What has this name in the other namespace is nothing to this object.
            wanted, forced = (_moved(one), True) if is_early else (one, force)
            found = cluster.apply(wanted, manager=manager, force=forced, dry_run=True)
            applied.append(_as(found, one) if is_early else found)
        except Absent as exc:
            # A namespace that neither is there nor comes with the tree.
            refused.append(exc)
        except Refused as exc:
            if is_early and exc.http_code == 403:
                unasked.append(
                    f"{ref_of(one)}: its namespace is not there yet, and we may not ask in {SPARE_NAMESPACE}"
                )
            else:
                refused.append(exc)
    return Checked(tuple(applied), tuple(refused), tuple(unasked))


def _defined(objects: Iterable[Document]) -> Iterable[tuple[str, str]]:
    """Kinds that CustomResourceDefinitions among the objects bring."""
    for one in objects:
        if one["kind"] == "CustomResourceDefinition":
            for version in at(one, "spec", "versions") or ():
                yield f"{at(one, 'spec', 'group')}/{version['name']}", str(at(one, "spec", "names", "kind"))


def _moved(document: Document) -> Document:
    return document | {"metadata": document["metadata"] | {"namespace": SPARE_NAMESPACE}}


def _as(found: Applied, document: Document) -> Applied:
    return Applied(ref_of(document), "created", found.document, None, found.warnings)
