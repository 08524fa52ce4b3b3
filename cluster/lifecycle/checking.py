"""What can be known before anything is applied: that the cluster has every kind, and would take every object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cluster.lifecycle.operators import bringer
from cluster.lifecycle.tree import Tree
from kuberay.cluster import Applied, Cluster
from kuberay.errors import (
    ClusterError,
    Denied,
    Ending,
    FieldConflict,
    Forbidden,
    KindMissing,
    NoDryRun,
    Refused,
)
from kuberay.objects import Document, Ref, at, ref_of

Tell = Callable[[str], None]
SPARE_NAMESPACE = "default"
MAX_NAMED = 20
# Denials for what a namespace holds, not for what the object is.
_WEBHOOK = "admission webhook "
_NOT_FOUND = re.compile(r"not found|does(n't| not) exist|not exist")
_NAMES = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_OF_THE_PLACE = re.compile(
    r"exceeded quota|failed quota|(maximum|minimum) \S+ usage per|violates PodSecurity"
)


@dataclass(frozen=True, slots=True)
class Checked:
    """The server's word on every object. What could not be asked is not in it."""

    applied: tuple[Applied, ...]
    refused: tuple[ClusterError, ...]
    unasked: tuple[str, ...]  # why, an object each

    @property
    def way_out(self) -> str:
        """Of conflicts, where there are some."""
        if not any(isinstance(one, FieldConflict) for one in self.refused):
            return ""
        return "; leave the fields of others out of the tree, or take them with --force-conflicts"


def missing_kinds(cluster: Cluster, tree: Tree) -> list[tuple[str, str]]:
    """(apiVersion, kind) of the tree's that the cluster lacks, and that the tree does not define itself."""
    defined = set(kinds_defined(tree.objects))
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


def known_part(cluster: Cluster, tree: Tree, *, skip_missing: bool, tell: Tell) -> Tree:
    """The tree without what the cluster has no kind for, if that is allowed; a line for each kind that is left out.

    Raises:
        KindMissing: kinds are missing, and may not be; or all of them are.
    """
    missing = missing_kinds(cluster, tree)
    if not skip_missing:
        refuse_missing_kinds(missing)
        return tree
    for api_version, kind in missing:
        refs = [str(ref_of(one)) for one in tree.objects if _kind(one) == (api_version, kind)]
        more = f" and {len(refs) - MAX_NAMED} more" if len(refs) > MAX_NAMED else ""
        tell(
            f"left out: the cluster has no kind {kind} ({api_version}), which {bringer(api_version)} brings: "
            f"{', '.join(refs[:MAX_NAMED])}{more}"
        )
    kept = (
        replace(wave, objects=tuple(one for one in wave.objects if _kind(one) not in missing))
        for wave in tree.waves
    )
    waves = tuple(wave for wave in kept if wave.objects)
    if not waves:
        raise KindMissing(f"nothing was applied: the cluster has none of the kinds in {tree.path}")
    return replace(tree, waves=waves)


def check(cluster: Cluster, tree: Tree, *, manager: str, force: bool) -> Checked:
    """Ask the server about every object without changing anything (server-side dry run).

    An object whose namespace this very tree makes, and which is not there yet or still being deleted, is asked
    about in the namespace `default`: a dry run makes no namespaces, and the schema is the same everywhere.
    """
    made = {one["metadata"]["name"] for one in tree.objects if one["kind"] == "Namespace"}
    defined = set(kinds_defined(tree.objects))
    absent = {name for name in made if not _takes_objects(cluster, name)}
    applied: list[Applied] = []
    refused: list[ClusterError] = []
    unasked: list[str] = []
    for one in tree.objects:
        if (one["apiVersion"], one["kind"]) in defined and not cluster.knows(one["apiVersion"], one["kind"]):
            unasked.append(f"{ref_of(one)}: its kind is made by the tree itself")
            continue
        is_early = one["metadata"].get("namespace") in absent
        # What has this name in the other namespace is nothing to this object.
        wanted, forced = (_moved(one), True) if is_early else (one, force)
        try:
            found = cluster.apply(wanted, manager=manager, force=forced, dry_run=True)
        except (Refused, Ending) as exc:
            exc.message = exc.message.replace(str(ref_of(wanted)), str(ref_of(one)))
            if reason := _why_not_asked(cluster, tree, one, exc, is_early=is_early):
                unasked.append(reason)
            else:
                refused.append(exc)
            continue
        applied.append(_as(found, one) if is_early else found)
    return Checked(tuple(applied), tuple(refused), tuple(unasked))


def _takes_objects(cluster: Cluster, namespace: str) -> bool:
    found = cluster.get(Ref("v1", "Namespace", "", namespace))
    return found is not None and not at(found, "metadata", "deletionTimestamp")


def _why_not_asked(
    cluster: Cluster, tree: Tree, document: Document, refusal: Refused | Ending, *, is_early: bool
) -> str:
    """Why a refusal of a dry run is none of the object itself; empty: it is."""
    if isinstance(refusal, NoDryRun):
        return str(refusal)
    if lacks_another(refusal, document, tree.objects):
        return f"{refusal} (which comes with the tree)"
    reason = _why_not_there(cluster, document, refusal) if is_early else ""
    return f"{ref_of(document)}: its namespace is not there yet, and {reason}" if reason else ""


def _why_not_there(cluster: Cluster, document: Document, refusal: Refused | Ending) -> str:
    """Why a refusal in the spare namespace says nothing of the object; empty: it does."""
    if isinstance(refusal, Forbidden):
        return f"we may not ask in {SPARE_NAMESPACE}"
    if isinstance(refusal, Denied) and _OF_THE_PLACE.search(str(refusal)):
        return f"{SPARE_NAMESPACE} has quotas or limits of its own"
    if cluster.get(ref_of(_moved(document))) is not None:
        return f"{SPARE_NAMESPACE} has another of its name"
    return ""


def lacks_another(refusal: ClusterError, document: Document, objects: Iterable[Document]) -> bool:
    """Whether a webhook refuses an object because it does not find another one of these.

    That of OpenSearch's operator does so for roles and users without their cluster, that of the AWS Load Balancer
    Controller for an Ingress without its class; and both look in caches that lag behind.
    """
    _, webhook, said = str(refusal).partition(_WEBHOOK)
    if not webhook or not _NOT_FOUND.search(said):
        return False
    others = {one["metadata"]["name"] for one in objects if ref_of(one) != ref_of(document)}
    return not others.isdisjoint(_NAMES.findall(said))


def kinds_defined(objects: Iterable[Document]) -> Iterable[tuple[str, str]]:
    """Kinds that CustomResourceDefinitions among the objects bring."""
    for one in objects:
        if one["kind"] == "CustomResourceDefinition":
            for version in at(one, "spec", "versions") or ():
                yield f"{at(one, 'spec', 'group')}/{version['name']}", str(at(one, "spec", "names", "kind"))


def _kind(document: Document) -> tuple[str, str]:
    return document["apiVersion"], document["kind"]


def _moved(document: Document) -> Document:
    return document | {"metadata": document["metadata"] | {"namespace": SPARE_NAMESPACE}}


def _as(found: Applied, document: Document) -> Applied:
    return Applied(ref_of(document), "created", found.document, None, found.warnings)
