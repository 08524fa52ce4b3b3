"""What was applied before, kept in the cluster beside it, so that anybody can go back.

A revision is a ControllerRevision, as those of Deployments' elder kinds are: its data, the objects as gzipped JSON, can
never be changed, and the roles that come with Kubernetes and let people write ConfigMaps (`edit`) do not let them write
it. For whoever can, decides what a rollback applies. What became of it stands in annotations. Of Secrets only the
names are kept. The newest KEPT stay. Nothing here applies anything.
"""

from __future__ import annotations

import base64
import datetime
import gzip
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kuberay.cluster import Cluster
from kuberay.errors import Changed, ClusterError, NoRevision
from kuberay.objects import Document, Ref, at

KEPT = 6
# Of our own: StatefulSets and DaemonSets adopt, and count out, whatever revisions their selectors match.
OWNER_LABEL = "manta.dev/revision-of"
STATE, NOTE = "manta.dev/state", "manta.dev/note"
API, KIND = "apps/v1", "ControllerRevision"
MAX_BYTES = 1_000_000  # etcd takes 1.5 MiB
MAX_NOTE = 2000


class State(StrEnum):
    """What became of a revision."""

    APPLYING = "applying"  # under way, or broken off
    SERVING = "serving"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"


@dataclass(frozen=True, slots=True)
class Revision:
    """One set of objects that was applied together."""

    number: int
    state: State
    started_at: str  # RFC 3339, UTC
    note: str
    objects: tuple[Document, ...]
    wave_sizes: tuple[int, ...] = ()  # how many of the objects each wave had, in order; empty: they are one

    @property
    def waves(self) -> tuple[tuple[Document, ...], ...]:
        """The objects by wave, in the order in which they were applied."""
        rest = iter(self.objects)
        return tuple(tuple(itertools.islice(rest, size)) for size in self.wave_sizes) or (self.objects,)


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class History:
    """The revisions of one thing: of a RayService by itself, or of the tree that it is a part of."""

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, *, manager: str = "manta",
        now: Callable[[], datetime.datetime] = _utc_now,
    ) -> None:  # fmt: skip
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._manager = manager
        self._now = now

    def revisions(self) -> list[Revision]:
        """All that are kept, the newest first."""
        found = self._cluster.find(
            API, KIND, namespace=self._namespace, labels=f"{OWNER_LABEL}={self._name}"
        )  # fmt: skip
        return sorted(map(_read, found), key=lambda one: one.number, reverse=True)

    def last_serving(self, before: int | None = None) -> Revision | None:
        """The newest revision that served, older than `before`; None: there is none."""
        for one in self.revisions():
            if one.state is State.SERVING and (before is None or one.number < before):
                return one
        return None

    def pick(self, number: int | None) -> Revision:
        """The revision to go back to: the named one, or the newest that served before the current one.

        Raises:
            NoRevision: there is none, or it is not kept any more.
        """
        kept = self.revisions()
        if number is not None:
            for one in kept:
                if one.number == number:
                    return one
            numbers = ", ".join(str(one.number) for one in kept) or "none"
            raise NoRevision(f"{self._name} has no revision {number}; kept are: {numbers}")
        current = next((one.number for one in kept if one.state is not State.ROLLED_BACK), None)
        found = self.last_serving(before=current)
        if found is None:
            raise NoRevision(f"{self._name} has no earlier revision that served; kept are {len(kept)}")
        return found

    def begin(
        self, objects: Sequence[Mapping[str, Any]], note: str = "", wave_sizes: Sequence[int] = ()
    ) -> Revision:
        """Note that these are about to be applied.

        Raises:
            ClusterError: somebody else began one at the same moment, or they are too large to keep.
        """
        kept = self.revisions()
        number = kept[0].number + 1 if kept else 1
        started_at = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        made = tuple(map(_without_values, objects))
        revision = Revision(number, State.APPLYING, started_at, note, made, tuple(wave_sizes))
        try:
            self._cluster.create(self._document(revision), manager=self._manager)
        except Changed as exc:
            raise ClusterError(
                f"revision {number} of {self._name} was begun by somebody else at this moment; look with status"
            ) from exc
        way_back = next((one for one in kept if one.state is State.SERVING), None)
        for old in kept[KEPT - 1 :]:
            if old != way_back:
                self._cluster.delete(self._ref(old.number))
        return revision

    def finish(self, revision: Revision, state: State, note: str = "") -> None:
        """Note what became of it."""
        said = {STATE: state.value, NOTE: (note or revision.note)[:MAX_NOTE]}
        operations = [
            {"op": "add", "path": f"/metadata/annotations/{key.replace('/', '~1')}", "value": value}
            for key, value in said.items()
        ]
        self._cluster.patch(self._ref(revision.number), operations, manager=self._manager)

    def supersede(self, chosen: Revision) -> None:
        """Note of everything newer than `chosen` that it was rolled back."""
        for one in self.revisions():
            if one.number > chosen.number and one.state is not State.ROLLED_BACK:
                self.finish(one, State.ROLLED_BACK, f"rolled back to revision {chosen.number}")

    def forget(self) -> None:
        """Remove all revisions."""
        for one in self.revisions():
            self._cluster.delete(self._ref(one.number))

    def _ref(self, number: int) -> Ref:
        return Ref(API, KIND, self._namespace, f"{self._name}-revision-{number}")

    def _document(self, revision: Revision) -> Document:
        packed = gzip.compress(json.dumps(revision.objects, sort_keys=True).encode(), mtime=0)
        text = base64.b64encode(packed).decode()
        if len(text) > MAX_BYTES:
            raise ClusterError(
                f"the objects of {self._name} take {len(text)} bytes packed; a revision has room for {MAX_BYTES}"
            )
        ref = self._ref(revision.number)
        return {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {
                "name": ref.name,
                "namespace": ref.namespace,
                "labels": {OWNER_LABEL: self._name, "app.kubernetes.io/managed-by": self._manager},
                "annotations": {STATE: revision.state.value, NOTE: revision.note[:MAX_NOTE]},
            },
            "revision": revision.number,
            "data": {
                "startedAt": revision.started_at,
                "waveSizes": list(revision.wave_sizes),
                "objects.json.gz": text,
            },
        }


def _read(document: Document) -> Revision:
    data, said = document["data"], at(document, "metadata", "annotations") or {}
    objects = tuple(json.loads(gzip.decompress(base64.b64decode(data["objects.json.gz"]))))
    state = State(said.get(STATE, State.APPLYING))
    return Revision(
        int(document["revision"]),
        state,
        data["startedAt"],
        said.get(NOTE, ""),
        objects,
        tuple(data["waveSizes"]),
    )


def is_secret(document: Mapping[str, Any]) -> bool:
    """Whether it is a Secret, of which a revision keeps the name alone, and which a rollback leaves as it is."""
    return (document.get("apiVersion"), document.get("kind")) == ("v1", "Secret")


def _without_values(document: Mapping[str, Any]) -> Document:
    if not is_secret(document):
        return dict(document)
    named = {key: document["metadata"][key] for key in ("name", "namespace") if key in document["metadata"]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": named}
