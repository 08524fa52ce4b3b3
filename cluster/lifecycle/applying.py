"""Applying a tree: all of it is checked first, then wave by wave, and back again if it does not come up.

Whatever happens in between (a refusal, a timeout, Ctrl-C, a lost connection), what was applied by then is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cluster.lifecycle.checking import Checked, check, kinds_defined, known_part, lacks_another
from cluster.lifecycle.going_back import NEVER, go_back
from cluster.lifecycle.tree import Tree, Wave
from cluster.lifecycle.waves import LOOK_EVERY_S, wait_until_ready
from kuberay.bounds import carry_bounds
from kuberay.cluster import Applied, Cluster
from kuberay.errors import ClusterError, Ending, NotServing, Refused
from kuberay.history import History, Revision, State
from kuberay.objects import Document, Ref, ref_of
from kuberay.patience import Patience

Tell = Callable[[str], None]
MANAGER = "manta"
MAX_TOLD = 20
SEEN_S = 60.0  # a webhook's cache follows its watch


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
    num_left_out: int = 0
    applied: list[Applied] = field(default_factory=list)
    wave: str = ""

    def told(self) -> str:
        counts = {
            word: sum(one.outcome == word for one in self.applied)
            for word in ("created", "changed", "unchanged")
        }
        words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        where = f", up to wave {self.wave}" if self.wave else ""
        without = f"; {self.num_left_out} were left out" if self.num_left_out else ""
        return f"{len(self.applied)} of {self.num_objects} objects were applied{where}" + (
            f": {words}{without}" if words else without
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
    left_out: list[str] = []
    checked = check(
        cluster,
        known_part(cluster, tree, skip_missing=options.skip_missing, tell=left_out.append),
        manager=MANAGER,
        force=options.force,
    )
    return replace(checked, unasked=(*left_out, *checked.unasked))


def apply_tree(cluster: Cluster, tree: Tree, options: Options, tell: Tell) -> Outcome:
    """Apply all waves, each ready before the next.

    Raises:
        KindMissing: the cluster lacks kinds; nothing was applied.
        ClusterError: the server would refuse an object (nothing was applied), or did so in the end.
        NotServing: a wave did not get ready; the message says what was applied and whether it was rolled back.
    """
    if options.prune and tree.is_part:
        raise ClusterError(
            f"{tree.path} is a part of a tree: only the whole says what it has no longer (--prune)"
        )
    num_objects = len(tree.objects)
    tree = known_part(cluster, tree, skip_missing=options.skip_missing, tell=tell)
    tell(f"asking the server about {len(tree.objects)} objects before applying any")
    _refuse(check(cluster, tree, manager=MANAGER, force=options.force), tell)
    return _Run(cluster, tree, options, tell, num_objects - len(tree.objects)).all_waves()


class _Run:
    """One apply: where it is, and what it would go back to."""

    def __init__(self, cluster: Cluster, tree: Tree, options: Options, tell: Tell, num_left_out: int) -> None:
        self._cluster = cluster
        self._tree = tree
        self._options = options
        self._tell = tell
        self._progress = Progress(len(tree.objects), num_left_out)
        self._defined = set(kinds_defined(tree.objects))
        self._history = History(cluster, tree.namespace, tree.name)
        self._way_back = self._history.last_serving()
        self._touched: set[Ref] = set()  # an answer that was lost leaves no trace in the progress

    def all_waves(self) -> Outcome:
        self._apply_namespace()
        waves = self._recorded()
        objects = [one for wave in waves for one in wave]
        revision = self._history.begin(objects, self._tree.path.name, [len(wave) for wave in waves])
        self._tell(f"revision {revision.number} of {self._tree.namespace}/{self._tree.name}")
        try:
            for wave in self._tree.waves:
                self._apply_wave(wave)
        except KeyboardInterrupt:
            said = f"interrupted: {self._progress.told()}; nothing was rolled back"
            self._tell(said)
            self._history.finish(revision, State.FAILED, said)
            raise
        except ClusterError as exc:
            raise self._failed(revision, exc) from exc
        # Without waiting nobody knows whether it serves.
        state = State.SERVING if self._options.wait else State.APPLYING
        self._history.finish(revision, state, self._progress.told())
        self._tell(self._progress.told())
        return Outcome(revision.number, tuple(self._progress.applied), tuple(self._surplus()))

    def _recorded(self) -> list[list[Document]]:
        """The waves that are in force after this apply: of a part, the last ones with what the part has."""
        if not self._tree.is_part or self._way_back is None:
            return [list(wave.objects) for wave in self._tree.waves]
        mine = {ref_of(one): one for one in self._tree.objects}
        waves = [[mine.pop(ref_of(one), one) for one in wave] for wave in self._way_back.waves]
        return [*waves, list(mine.values())] if mine else waves

    def _apply_namespace(self) -> None:
        """The history lives in the tree's namespace, so that comes before everything."""
        for one in self._tree.objects:
            if one["kind"] == "Namespace" and one["metadata"]["name"] == self._tree.namespace:
                self._apply(one)

    def _apply(self, document: Document) -> Applied:
        """Apply an object; if its former self is still being deleted, after that has ended.

        Where a webhook has not seen yet what this one needs, it is given a moment.
        """
        cluster, started_s, told = self._cluster, self._cluster.now_s(), ""
        while True:
            try:
                return cluster.apply(document, manager=MANAGER, force=self._options.force)
            except Ending as exc:
                wait_s, hope = self._options.timeout_s, "it is applied when it is gone"
                fault: ClusterError = exc
            except Refused as exc:
                if not lacks_another(exc, document, self._tree.objects):
                    raise
                wait_s, hope = SEEN_S, "it was applied a moment ago"
                fault = exc
            if cluster.now_s() - started_s >= wait_s:
                raise fault
            if str(fault) != told:
                told = str(fault)
                self._tell(f"{told}; {hope}")
            cluster.sleep(LOOK_EVERY_S)

    def _await_kind(self, document: Document) -> None:
        """A kind that the tree itself defines is served a moment later: its names are looked at first."""
        kind, until_s = (
            (document["apiVersion"], document["kind"]),
            self._cluster.now_s() + self._options.timeout_s,
        )
        if kind in self._defined and not self._cluster.knows(*kind):
            self._tell(f"waiting until the cluster serves {document['kind']} ({document['apiVersion']})")
            while not self._cluster.knows(*kind) and self._cluster.now_s() < until_s:
                self._cluster.sleep(LOOK_EVERY_S)

    def _apply_wave(self, wave: Wave) -> None:
        cluster, options = self._cluster, self._options
        started_s = cluster.now_s()
        num_objects = len(wave.objects)
        self._tell(f"wave {wave.name}: {num_objects} object{'s' if num_objects > 1 else ''}")
        self._progress.wave = wave.name
        for one in wave.objects:
            self._await_kind(one)
            self._touched.add(ref_of(one))
            found = self._apply(one)
            self._progress.applied.append(found)
            if found.outcome != "unchanged":
                self._tell(f"{found.ref} {found.outcome}")
            carry_bounds(cluster, found, manager=MANAGER, tell=self._tell)
        if options.wait:
            wait_until_ready(
                cluster, wave.objects, timeout_s=options.timeout_s, patience=options.patience, tell=self._tell
            )
            self._tell(f"wave {wave.name} is ready after {cluster.now_s() - started_s:.0f} s")

    def _failed(self, revision: Revision, fault: ClusterError) -> ClusterError:
        """The error to raise, after going back where that is possible."""
        said = f"wave {self._progress.wave}: {fault}; {self._progress.told()}"
        self._tell(said)
        try:
            self._history.finish(revision, State.FAILED, str(fault))
            end = self._go_back(revision, str(fault))
        except ClusterError as exc:
            end = f"and going back failed as well: {exc}"
        return NotServing(f"{said}; {end}", fault.reasons if isinstance(fault, NotServing) else ())

    def _go_back(self, revision: Revision, fault: str) -> str:
        """Apply what served before, and say how that ended."""
        way_back, options = self._way_back, self._options
        if way_back is None:
            return "nothing was there before to go back to: it was left as it is; delete takes it away"
        if not options.roll_back:
            return f"it was left as it is; rollback goes back to revision {way_back.number}"
        self._tell(f"going back to revision {way_back.number}, which served")
        created = [one.ref for one in self._progress.applied if one.before is None]
        # The rest is as it was; and a history that somebody wrote into must not reach further than this apply did.
        mine = tuple(one for one in way_back.objects if ref_of(one) in self._touched)
        go_back(
            self._cluster, replace(way_back, objects=mine, wave_sizes=()), created=created,
            timeout_s=options.timeout_s, patience=options.patience, tell=self._tell,
        )  # fmt: skip
        self._history.finish(revision, State.ROLLED_BACK, fault)
        return f"rolled back to revision {way_back.number}, which serves again"

    def _surplus(self) -> list[Ref]:
        """What the last serving revision had, this tree has not, and is still there; deleted first if wanted."""
        if self._way_back is None or self._tree.is_part:
            return []
        wanted = {ref_of(one) for one in self._tree.objects}
        gone = [ref for one in reversed(self._way_back.objects) if (ref := ref_of(one)) not in wanted]
        there = [
            ref for ref in gone if self._cluster.knows(ref.api_version, ref.kind) and self._cluster.get(ref)
        ]
        if not self._options.prune:
            return there
        for ref in there:
            if ref.kind not in NEVER:
                self._cluster.delete(ref)
                self._tell(f"{ref} deleted: it is not in the tree any more")
        return [ref for ref in there if ref.kind in NEVER]


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
    raise ClusterError(f"nothing was applied: {checked.refused[0]}{more}{checked.way_out}")
