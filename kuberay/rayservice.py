"""A RayService in a cluster: create or apply it, wait until it serves, say why it does not, go back, delete it.

    with Cluster.open() as cluster:
        service = RayService(cluster, "manta", "manta")
        service.apply(document)
        service.wait(timeout_s=1800, tell=print, record=True)

Changes are server-side applies under a field manager, so that what others own (an autoscaler's replicas, Kueue's
`suspend`) stays theirs. Knows KubeRay; nothing of Manta, of waves or of nodes.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from typing import Any

from kuberay.bounds import carry_bounds
from kuberay.cluster import Applied, Cluster
from kuberay.deletion import Left, delete_service
from kuberay.diagnosis import Reason, explain
from kuberay.errors import Absent, Changed, NoDryRun, NotServing
from kuberay.evidence import gather
from kuberay.fields import applied_by
from kuberay.history import History, Revision, State
from kuberay.objects import RAY, Document, Ref
from kuberay.patience import Patience
from kuberay.service_status import ServiceStatus, read_status
from kuberay.waiting import wait_until_serving

MANAGER = "manta"
Tell = Callable[[str], None]


def _nothing(text: str) -> None:
    """Tell nobody."""


class RayService:
    """One RayService, there or not yet."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, *, manager: str = MANAGER) -> None:
        self._cluster = cluster
        self._manager = manager
        # Never none: that would mean every namespace where its parts are looked for.
        self.ref = Ref(RAY, "RayService", namespace or "default", name)
        self.history = History(cluster, self.ref.namespace, name, manager=manager)

    def get(self) -> Document | None:
        """The whole object; None: it is not there."""
        return self._cluster.get(self.ref)

    def status(self) -> ServiceStatus | None:
        """Its state in one word and one sentence; None: it is not there."""
        document = self.get()
        return None if document is None else read_status(document)

    def reasons(self) -> list[Reason]:
        """Why it does not serve, the likeliest cause first; empty: nothing was found."""
        return explain(gather(self._cluster, self.ref, self.get()))

    def create(self, document: Mapping[str, Any], *, dry_run: bool = False) -> Applied:
        """Make it, if it is not there yet.

        Raises:
            Changed: it is there.
            Invalid: it breaks the schema; unknown fields are errors.
            KindMissing: KubeRay is not installed.
        """
        if self.get() is not None:
            raise Changed(f"{self.ref} is there already", 409, "AlreadyExists")
        # Not a POST: fields that one wrote are another manager's when they are applied later.
        return self.apply(document, dry_run=dry_run)

    def apply(
        self, document: Mapping[str, Any], *, force: bool = False, dry_run: bool = False, record: bool = True
    ) -> Applied:
        """Make it be like this, and note it in the history (`record`), from where `rollback` takes it.

        Bounds of worker groups that changed are carried to the RayCluster that runs (`kuberay.bounds`).

        Raises:
            FieldConflict: others own some of these fields; `force` takes them over.
            Invalid: it breaks the schema; unknown fields are errors.
            KindMissing: KubeRay is not installed.
            Ending: it is being deleted.
        """
        wanted = self._named(document)
        if dry_run:
            return self._cluster.apply(wanted, manager=self._manager, force=force, dry_run=True)
        if record:
            with contextlib.suppress(NoDryRun):
                self._cluster.apply(wanted, manager=self._manager, force=force, dry_run=True)
            self.history.begin([wanted])
        return self._applied(wanted, force=force)

    def update_serve_config(self, text: str, *, force: bool = False, dry_run: bool = False) -> Applied:
        """Change `serveConfigV2` alone: Serve updates its applications in place, on the RayCluster that runs.

        The rest of what this manager applied is applied again as it is, since leaving it out would remove it.

        Raises:
            Absent: there is no such RayService.
            Changed: somebody else changed what is wanted between our reading and our writing.
            FieldConflict: another manager owns the configuration; `force` takes it over.
        """
        generation: int | None = None
        while True:
            document = self.get()
            if document is None:
                raise Absent(f"{self.ref} is not there", 404, "NotFound")
            metadata = document["metadata"]
            generation = generation or metadata.get("generation")
            wanted = copy.deepcopy(applied_by(document, self._manager) or self._named({"spec": {}}))
            wanted.setdefault("spec", {})["serveConfigV2"] = text
            # The server refuses it if the object was changed meanwhile.
            wanted["metadata"]["resourceVersion"] = metadata["resourceVersion"]
            try:
                return self._cluster.apply(wanted, manager=self._manager, force=force, dry_run=dry_run)
            except Changed:
                # The operator writes the status at any time; only another wish makes another generation.
                newer = self.get()
                if newer is None or newer["metadata"].get("generation") != generation:
                    raise

    def wait(
        self,
        *,
        timeout_s: float,
        patience: Patience | None = None,
        tell: Tell = _nothing,
        record: bool = False,
    ) -> ServiceStatus:
        """Its state, once it serves what was asked for last, and goes on doing so for a moment.

        `tell` is given a line whenever something changed, and the reasons while it does not serve; `record`
        notes in the history what became of the revision.

        Raises:
            NotServing: it failed, something keeps it that waiting does not mend, or the time is over; `reasons`
                has what was found.
        """
        try:
            status = wait_until_serving(
                self._cluster, self.ref, timeout_s=timeout_s, patience=patience or Patience(), tell=tell
            )
        except NotServing as exc:
            if record:
                self._note(State.FAILED, str(exc))
            raise
        if record:
            self._note(State.SERVING)
        return status

    def rollback(self, number: int | None = None) -> Revision:
        """Apply again what served before (or revision `number`), and say which revision that was; `wait` then.

        Raises:
            NoRevision: there is nothing to go back to.
        """
        chosen = self.history.pick(number)
        mine = [one for one in chosen.objects if one.get("kind") == "RayService"]
        self.history.supersede(chosen)
        for document in mine:
            # Whatever happened since to fields that were ours, they are ours again.
            self._applied(document, force=True)
        return chosen

    def delete(self, *, timeout_s: float = 600.0, tell: Tell = _nothing) -> list[Left]:
        """Delete it with its RayClusters, their pods and its history; what is left when the time is over."""
        left = delete_service(self._cluster, self.ref, timeout_s=timeout_s, tell=tell)
        if not left:
            self.history.forget()
        return left

    def _applied(self, wanted: Document, *, force: bool) -> Applied:
        applied = self._cluster.apply(wanted, manager=self._manager, force=force)
        carry_bounds(self._cluster, applied, manager=self._manager, tell=_nothing)
        return applied

    def _note(self, state: State, note: str = "") -> None:
        newest = next(iter(self.history.revisions()), None)
        if newest is not None and newest.state is State.APPLYING:
            self.history.finish(newest, state, note)

    def _named(self, document: Mapping[str, Any]) -> Document:
        """A copy under this object's own name, whatever name the document has, without what servers write."""
        wanted = copy.deepcopy(dict(document))
        metadata = dict(wanted.get("metadata") or {})
        for written in ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"):
            metadata.pop(written, None)
        wanted.pop("status", None)
        metadata |= {"name": self.ref.name, "namespace": self.ref.namespace}
        return wanted | {"apiVersion": self.ref.api_version, "kind": self.ref.kind, "metadata": metadata}
