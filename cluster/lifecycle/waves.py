"""Waiting for a wave: every object of it ready, RayServices last, telling what is waited for and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cluster.lifecycle.readiness import Readiness, readiness
from kuberay.cluster import Cluster
from kuberay.diagnosis import explain_pods
from kuberay.errors import Forbidden, NotServing
from kuberay.evidence import Reader
from kuberay.objects import Document, Ref, at, ref_of
from kuberay.patience import Patience
from kuberay.rayservice import RayService

Tell = Callable[[str], None]
LOOK_EVERY_S = 2.0
EXPLAIN_EVERY_S = 15.0
TELL_AFTER_S = 5.0  # what its controller takes up at once is not worth a line
_WITH_PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
_GONE = Readiness("it is not there any more", is_final=True)


def wait_until_ready(
    cluster: Cluster, objects: Iterable[Document], *, timeout_s: float, patience: Patience, tell: Tell
) -> None:
    """Return when every object is ready. What we may not look at is told, and not waited for.

    Raises:
        NotServing: one cannot get ready, or the time is over; its `reasons` have what was found.
    """
    until_s = cluster.now_s() + timeout_s
    refs = [ref_of(one) for one in objects]
    _Wait(cluster, tell, timeout_s).until_ready([ref for ref in refs if ref.kind != "RayService"], until_s)
    for ref in refs:
        if ref.kind == "RayService":
            service = RayService(cluster, ref.namespace, ref.name)
            service.wait(timeout_s=max(1.0, until_s - cluster.now_s()), patience=patience, tell=tell)


class _Wait:
    """Looks at objects again and again; tells each thing once."""

    def __init__(self, cluster: Cluster, tell: Tell, timeout_s: float) -> None:
        self._cluster = cluster
        self._tell = tell
        self._timeout_s = timeout_s
        self._told: set[str] = set()
        self._started_at_s = self._explained_at_s = cluster.now_s()

    def until_ready(self, pending: list[Ref], until_s: float) -> None:
        while pending:
            documents = {ref: document for ref in pending for document in self._read(ref)}
            judged = {ref: readiness(one) if one else _GONE for ref, one in documents.items()}
            waiting = {ref: one for ref, one in judged.items() if not one.is_ready}
            if not waiting:
                return
            final = [ref for ref, one in waiting.items() if one.is_final]
            is_over = self._cluster.now_s() >= until_s
            if final or is_over or self._cluster.now_s() - self._started_at_s >= TELL_AFTER_S:
                for ref, one in waiting.items():
                    self._tell_once(f"{ref}: {one.waits_for}")
            if final or is_over or self._cluster.now_s() - self._explained_at_s >= EXPLAIN_EVERY_S:
                reasons = self._explain([documents[ref] for ref in waiting])
                if final or is_over:
                    raise _not_ready(
                        final or list(waiting), waiting, reasons, 0.0 if final else self._timeout_s
                    )
            pending = list(waiting)
            self._cluster.sleep(LOOK_EVERY_S)

    def _read(self, ref: Ref) -> list[Document | None]:
        """The object, None where it is not there; nothing at all where we may not look."""
        try:
            return [self._cluster.get(ref)]
        except Forbidden as exc:
            self._tell_once(f"not waited for: {exc}")
            return []

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)

    def _explain(self, documents: Iterable[Document | None]) -> list[str]:
        self._explained_at_s = self._cluster.now_s()
        reasons = [text for one in documents if one for text in _reasons(self._cluster, one)]
        for text in reasons:
            self._tell_once(f"  {text}")
        return reasons


def _not_ready(
    refs: list[Ref], waiting: dict[Ref, Readiness], reasons: list[str], after_s: float
) -> NotServing:
    first = f"{refs[0]}: {waiting[refs[0]].waits_for}"
    more = f", and {len(refs) - 1} more" if len(refs) > 1 else ""
    when = f" after {after_s:.0f} s" if after_s else ""
    words = [f"{ref}: {waiting[ref].waits_for}" for ref in refs[1:]]
    return NotServing(f"not ready{when}: {first}{more}", [*reasons, *words])


def _reasons(cluster: Cluster, document: Document) -> list[str]:
    """What keeps a workload's pods."""
    ref = ref_of(document)
    namespace = ref.namespace or "default"
    chosen = at(document, "spec", "selector", "matchLabels")
    if ref.kind not in _WITH_PODS or not chosen:
        return []
    labels = ",".join(f"{key}={value}" for key, value in chosen.items())
    reader = Reader(cluster)
    pods = reader.find("v1", "Pod", namespace, labels)
    return [
        *(one.text for one in explain_pods(pods, reader.warnings(namespace), str(ref))),
        *reader.not_read,
    ]
