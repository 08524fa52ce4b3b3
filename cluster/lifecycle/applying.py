"""Applying a tree: all of it is checked first, then wave by wave, and back again if it does not come up.

Whatever happens in between (a refusal, a timeout, Ctrl-C, a lost connection), what was applied by then is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cluster.lifecycle.checking import Checked, check, missing_kinds, refuse_missing_kinds
from cluster.lifecycle.going_back import go_back
from cluster.lifecycle.tree import Tree, Wave
from cluster.lifecycle.waves import wait_until_ready
from kuberay.cluster import Applied, Cluster
from kuberay.errors import ClusterError, NotServing
from kuberay.history import History, Revision, State
from kuberay.objects import Document, Ref, ref_of
from kuberay.patience import Patience

Tell = Callable[[str], None]
MANAGER = "manta"
MAX_TOLD = 20


@dataclass(frozen=True, slots=True)
class Options:
    """How to apply."""

    timeout_s: float = 1800.0  # of each wave
    force: bool = False  # take fields over from other managers
    skip_missing: bool = False  # leave out kinds that the cluster lacks
    wait: bool = True
    roll_back: bool = True
    prune: bool = False  # delete what the last revision had and this one has not
    patience: Patience = field(default_factory=Patience)


@dataclass(slots=True)
class Progress:
    """What was applied so far."""

    num_objects: int
    applied: list[Applied] = field(default_factory=list)
    wave: str = ""

    def told(self) -> str:
        counts = {
            word: sum(one.outcome == word for one in self.applied)
            for word in ("created", "changed", "unchanged")
        }
        words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        where = f", up to wave {self.wave}" if self.wave else ""
        return f"{len(self.applied)} of {self.num_objects} objects were applied{where}" + (
            f": {words}" if words else ""
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it."""

    revision: int
    applied: tuple[Applied, ...]
    surplus: tuple[Ref, ...]  # of the last revision, not in this tree, still in the cluster


def dry_run(cluster: Cluster, tree: Tree, options: Options) -> Checked:
    """Ask the server about every object; nothing is changed.

    Raises:
        KindMissing: the cluster lacks kinds.
    """
    return check(
        cluster, _wanted(cluster, tree, options, lambda _: None), manager=MANAGER, force=options.force
    )


def apply_tree(cluster: Cluster, tree: Tree, options: Options, tell: Tell) -> Outcome:
    """Apply all waves, each ready before the next.

    Raises:
        KindMissing: the cluster lacks kinds; nothing was applied.
        ClusterError: the server would refuse an object (nothing was applied), or did so in the end.
        NotServing: a wave did not get ready; the message says what was applied and whether it was rolled back.
    """
    tree = _wanted(cluster, tree, options, tell)
    tell(f"asking the server about {len(tree.objects)} objects before applying any")
    _refuse(check(cluster, tree, manager=MANAGER, force=options.force), tell)
    history = History(cluster, tree.namespace, tree.name)
    progress = Progress(len(tree.objects))
    _apply_namespace(cluster, tree, progress, options)
    way_back = history.last_serving()
    revision = history.begin(tree.objects, note=str(tree.path.name))
    tell(f"revision {revision.number} of {tree.namespace}/{tree.name}")
    try:
        for wave in tree.waves:
            _apply_wave(cluster, wave, progress, options, tell)
    except KeyboardInterrupt:
        tell(f"interrupted: {progress.told()}; nothing was rolled back")
        history.finish(revision, State.FAILED, f"interrupted: {progress.told()}")
        raise
    except ClusterError as exc:
        raise _failed(cluster, history, revision, way_back, progress, options, exc, tell) from exc
    # Without waiting nobody knows whether it serves.
    history.finish(revision, State.SERVING if options.wait else State.APPLYING, progress.told())
    surplus = _surplus(cluster, way_back, tree)
    if options.prune:
        for ref in surplus:
            cluster.delete(ref)
            tell(f"{ref} deleted: it is not in the tree any more")
        surplus = []
    tell(progress.told())
    return Outcome(revision.number, tuple(progress.applied), tuple(surplus))


def _wanted(cluster: Cluster, tree: Tree, options: Options, tell: Tell) -> Tree:
    """The tree without what the cluster has no kind for, if that is allowed."""
    missing = missing_kinds(cluster, tree)
    if not options.skip_missing:
        refuse_missing_kinds(missing)
        return tree
    for api_version, kind in missing:
        tell(f"left out: the cluster has no kind {kind} ({api_version})")
    kept = (
        replace(
            wave,
            objects=tuple(one for one in wave.objects if (one["apiVersion"], one["kind"]) not in missing),
        )
        for wave in tree.waves
    )
    return replace(tree, waves=tuple(wave for wave in kept if wave.objects))


def _refuse(checked: Checked, tell: Tell) -> None:
    for reason in checked.unasked:
        tell(f"not checked: {reason}")
    for one in checked.applied:
        for warning in one.warnings:
            tell(f"{one.ref}: the server warns: {warning}")
    if not checked.refused:
        return
    for fault in checked.refused[:MAX_TOLD]:
        tell(str(fault))
    more = f" ({len(checked.refused)} objects are refused)" if len(checked.refused) > 1 else ""
    raise ClusterError(f"nothing was applied: {checked.refused[0]}{more}")


def _apply_namespace(cluster: Cluster, tree: Tree, progress: Progress, options: Options) -> None:
    """The history lives in the tree's namespace, so that comes before everything."""
    for one in tree.objects:
        if one["kind"] == "Namespace" and one["metadata"]["name"] == tree.namespace:
            cluster.apply(one, manager=MANAGER, force=options.force)


def _apply_wave(cluster: Cluster, wave: Wave, progress: Progress, options: Options, tell: Tell) -> None:
    started_s = cluster.now_s()
    tell(f"wave {wave.name}: {len(wave.objects)} objects")
    progress.wave = wave.name
    for one in wave.objects:
        _await_kind(cluster, one)
        found = cluster.apply(one, manager=MANAGER, force=options.force)
        progress.applied.append(found)
        if found.outcome != "unchanged":
            tell(f"{found.ref} {found.outcome}")
    if options.wait:
        wait_until_ready(
            cluster, wave.objects, timeout_s=options.timeout_s, patience=options.patience, tell=tell
        )
        tell(f"wave {wave.name} is ready after {cluster.now_s() - started_s:.0f} s")


def _await_kind(cluster: Cluster, document: Document) -> None:
    """A kind that an earlier wave has defined is served a moment later."""
    until_s = cluster.now_s() + 60.0
    while not cluster.knows(document["apiVersion"], document["kind"]) and cluster.now_s() < until_s:
        cluster.sleep(1.0)


def _failed(
    cluster: Cluster,
    history: History,
    revision: Revision,
    way_back: Revision | None,
    progress: Progress,
    options: Options,
    fault: ClusterError,
    tell: Tell,
) -> ClusterError:
    """The error to raise, after going back where that is possible."""
    reasons: Sequence[str] = fault.reasons if isinstance(fault, NotServing) else ()
    said = f"wave {progress.wave}: {fault}; {progress.told()}"
    tell(said)
    try:
        history.finish(revision, State.FAILED, str(fault))
        if way_back is None:
            end = "nothing was there before to go back to: it was left as it is; delete takes it away"
        elif not options.roll_back:
            end = f"it was left as it is; rollback goes back to revision {way_back.number}"
        else:
            tell(f"going back to revision {way_back.number}, which served")
            go_back(
                cluster, way_back, created=[one.ref for one in progress.applied if one.before is None],
                timeout_s=options.timeout_s, patience=options.patience, tell=tell,
            )  # fmt: skip
            history.finish(revision, State.ROLLED_BACK, str(fault))
            end = f"rolled back to revision {way_back.number}, which serves again"
    except ClusterError as exc:
        end = f"and going back failed as well: {exc}"
    return NotServing(f"{said}; {end}", reasons)


def _surplus(cluster: Cluster, way_back: Revision | None, tree: Tree) -> list[Ref]:
    """What the last serving revision had, this tree has not, and is still there."""
    if way_back is None:
        return []
    wanted = {ref_of(one) for one in tree.objects}
    gone = [ref_of(one) for one in reversed(way_back.objects) if ref_of(one) not in wanted]
    return [ref for ref in gone if cluster.knows(ref.api_version, ref.kind) and cluster.get(ref) is not None]
