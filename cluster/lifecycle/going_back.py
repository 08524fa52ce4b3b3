"""Going back to a revision that served: its objects as they were, and away with what came after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cluster.lifecycle.target import Target
from cluster.lifecycle.waves import wait_until_ready
from kuberay.bounds import carry_bounds
from kuberay.cluster import Cluster
from kuberay.errors import ClusterError, Forbidden, NoRevision, Refused
from kuberay.history import History, Revision, State, is_secret
from kuberay.objects import Document, Ref, ref_of
from kuberay.patience import Patience

MANAGER = "manta"
ACCESS = "rbac.authorization.k8s.io"
Tell = Callable[[str], None]
# Their end would take along what is in them, or others' objects.
NEVER = ("Namespace", "CustomResourceDefinition", "PersistentVolumeClaim")


@dataclass(frozen=True, slots=True)
class WentBack:
    """Where to, and what is newer than that and still in the cluster."""

    revision: Revision
    left: tuple[Ref, ...]


def roll_back(
    cluster: Cluster, target: Target, *, number: int | None, prune: bool, timeout_s: float, patience: Patience,
    tell: Tell, access: bool = False,
) -> WentBack:  # fmt: skip
    """Go back to what a target was before, or at revision `number`; of a part of a tree, with that part alone.

    `access`: whether roles and their bindings may change too.

    Raises:
        NoRevision: there is nothing to go back to.
        ClusterError: an object was refused; the others were applied all the same, and are told.
        NotServing: it does not serve either.
    """
    history = target.history(cluster)
    chosen = history.pick(number)
    revisions = history.revisions()
    in_force = next((one for one in revisions if one.state is not State.ROLLED_BACK), chosen)
    newer = [one for one in revisions if one.number > chosen.number]
    back = _part_of(chosen, target) if target.is_part else chosen
    surplus = [ref for ref in _of(newer) if not target.is_part or ref in set(_parts_refs(target))]
    if not access:
        _refuse_other_access(cluster, back)
    tell(f"going back to revision {chosen.number}, of {chosen.started_at}")

    def go() -> None:
        go_back(
            cluster, back, created=surplus if prune else [], timeout_s=timeout_s, patience=patience, tell=tell,
            in_force=in_force.objects,
        )  # fmt: skip

    if target.is_part:
        _noting(history, in_force, back, go)
    else:
        history.supersede(chosen)
        go()
    kept = {ref_of(one) for one in back.objects}
    left = [] if prune else [ref for ref in surplus if ref not in kept and cluster.get(ref) is not None]
    return WentBack(chosen, tuple(left))


def go_back(
    cluster: Cluster,
    revision: Revision,
    *,
    created: Sequence[Ref],
    timeout_s: float,
    patience: Patience,
    tell: Tell,
    in_force: Sequence[Document] = (),
) -> None:
    """Apply a revision's objects again, delete those of `created` that it has not, and wait until it serves.

    `in_force`: what was applied last. Of that, what we may not change and is to be as it is already is left alone.

    Raises:
        ClusterError: an object was refused; the others were applied all the same, and are told.
        NotServing: it does not serve either.
    """
    faults: list[ClusterError] = []
    for one in revision.objects:
        if is_secret(one):
            tell(f"{ref_of(one)} is left as it is: revisions hold no values of secrets")
            continue
        try:
            # What others took over since then was ours when it served.
            found = cluster.apply(one, manager=MANAGER, force=True)
        except ClusterError as exc:
            if isinstance(exc, Forbidden) and one in in_force:
                continue
            faults.append(exc)
            tell(str(exc))
            continue
        if found.outcome != "unchanged":
            tell(f"{found.ref} is back")
        carry_bounds(cluster, found, manager=MANAGER, tell=tell)
    wanted = {ref_of(one) for one in revision.objects}
    for ref in reversed(created):
        if ref not in wanted and ref.kind not in NEVER and cluster.delete(ref):
            tell(f"{ref} deleted: it was new")
    if faults:
        raise ClusterError(f"{len(faults)} of {len(revision.objects)} objects were refused: {faults[0]}")
    wait_until_ready(cluster, revision.objects, timeout_s=timeout_s, patience=patience, tell=tell)


def _refuse_other_access(cluster: Cluster, revision: Revision) -> None:
    """
    Raises:
        ClusterError: it would change who may do what. Operators write revisions too, and an administrator who goes back
            to one shall not grant by it what they could not.
    """
    others = []
    for one in revision.objects:
        if not one["apiVersion"].startswith(f"{ACCESS}/"):
            continue
        try:
            found = cluster.apply(one, manager=MANAGER, force=True, dry_run=True)
        except Forbidden:
            continue  # who may not change roles changes none
        except Refused:
            others.append(str(ref_of(one)))  # it cannot be compared: no reason to take it unseen
            continue
        if found.outcome != "unchanged":
            others.append(str(found.ref))
    if others:
        raise ClusterError(
            f"nothing was changed: revision {revision.number} has other roles than the cluster: {', '.join(others)}; "
            "look at them, and say --access to take them too"
        )


def _noting(history: History, in_force: Revision, back: Revision, go: Callable[[], None]) -> None:
    """Go back with a part, and note a revision of the whole: what was in force, with the part as it was."""
    parts = {ref_of(one): one for one in back.objects}
    waves = [[parts.pop(ref_of(one), one) for one in wave] for wave in in_force.waves]
    waves += [list(parts.values())] if parts else []
    objects = [one for wave in waves for one in wave]
    begun = history.begin(objects, f"in part as revision {back.number}", [len(wave) for wave in waves])
    try:
        go()
    except ClusterError as exc:
        history.finish(begun, State.FAILED, str(exc))
        raise
    history.finish(begun, State.SERVING)


def _part_of(revision: Revision, target: Target) -> Revision:
    mine = set(_parts_refs(target))
    objects = tuple(one for one in revision.objects if ref_of(one) in mine)
    if not objects:
        raise NoRevision(
            f"revision {revision.number} of {target.namespace}/{target.name} has nothing of this part"
        )
    return replace(revision, objects=objects, wave_sizes=())


def _parts_refs(target: Target) -> list[Ref]:
    return [ref_of(one) for wave in target.waves or () for one in wave]


def _of(revisions: Sequence[Revision]) -> list[Ref]:
    """What they hold, each once, in the order of the oldest."""
    return list(dict.fromkeys(ref_of(one) for revision in reversed(revisions) for one in revision.objects))
