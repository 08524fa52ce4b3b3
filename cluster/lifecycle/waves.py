"""Waiting for a wave: every object of it ready, RayServices last, telling what is waited for and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cluster.lifecycle.readiness import Readiness, readiness
from kuberay.cluster import Cluster
from kuberay.diagnosis import explain_pods
from kuberay.errors import NotServing
from kuberay.objects import Document, Ref, at, ref_of
from kuberay.patience import Patience
from kuberay.rayservice import RayService

Tell = Callable[[str], None]
LOOK_EVERY_S = 2.0
EXPLAIN_EVERY_S = 15.0
_WITH_PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
_THERE_NO_MORE = Readiness("it is not there any more", is_final=True)


def wait_until_ready(
    cluster: Cluster, objects: Iterable[Document], *, timeout_s: float, patience: Patience, tell: Tell
) -> None:
    """Return when every object is ready.

    Raises:
        NotServing: one cannot get ready, or the time is over; its `reasons` have what was found.
    """
    until_s = cluster.now_s() + timeout_s
    refs = [ref_of(one) for one in objects]
    _wait_for_others(cluster, [ref for ref in refs if ref.kind != "RayService"], until_s, timeout_s, tell)
    for ref in refs:
        if ref.kind == "RayService":
            service = RayService(cluster, ref.namespace, ref.name)
            service.wait(timeout_s=max(1.0, until_s - cluster.now_s()), patience=patience, tell=tell)
            tell(f"{ref} serves")


def _wait_for_others(
    cluster: Cluster, pending: list[Ref], until_s: float, timeout_s: float, tell: Tell
) -> None:
    told: dict[Ref, str] = {}
    explained_at_s = cluster.now_s()
    while True:
        waiting: dict[Ref, Readiness] = {}
        documents: dict[Ref, Document] = {}
        for ref in pending:
            document = cluster.get(ref)
            judged = readiness(document) if document is not None else _THERE_NO_MORE
            if not judged.is_ready:
                waiting[ref] = judged
                documents[ref] = document or {}
        for ref, judged in waiting.items():
            if told.get(ref) != judged.waits_for:
                told[ref] = judged.waits_for
                tell(f"{ref}: {judged.waits_for}")
        if not waiting:
            return
        is_over = cluster.now_s() >= until_s
        final = [ref for ref, judged in waiting.items() if judged.is_final]
        if is_over or final or cluster.now_s() - explained_at_s >= EXPLAIN_EVERY_S:
            explained_at_s = cluster.now_s()
            reasons = [text for ref in waiting for text in _reasons(cluster, ref, documents[ref])]
            for text in reasons:
                if text not in told.values():
                    told[Ref("", "", "", text)] = text
                    tell(f"  {text}")
            if final or is_over:
                raise _not_ready(final or list(waiting), waiting, reasons, 0 if final else timeout_s)
        pending = list(waiting)
        cluster.sleep(LOOK_EVERY_S)


def _not_ready(
    refs: list[Ref], waiting: dict[Ref, Readiness], reasons: list[str], after_s: float
) -> NotServing:
    first = f"{refs[0]}: {waiting[refs[0]].waits_for}"
    more = f", and {len(refs) - 1} more" if len(refs) > 1 else ""
    when = f" after {after_s:.0f} s" if after_s else ""
    words = [f"{ref}: {waiting[ref].waits_for}" for ref in refs[1:]]
    return NotServing(f"not ready{when}: {first}{more}", [*reasons, *words])


def _reasons(cluster: Cluster, ref: Ref, document: Document) -> list[str]:
    """What keeps a workload's pods."""
    chosen = at(document, "spec", "selector", "matchLabels")
    if ref.kind not in _WITH_PODS or not chosen:
        return []
    labels = ",".join(f"{key}={value}" for key, value in chosen.items())
    pods = cluster.find("v1", "Pod", namespace=ref.namespace, labels=labels)
    events = cluster.find("v1", "Event", namespace=ref.namespace, fields="type=Warning")
    return [reason.text for reason in explain_pods(pods, events, str(ref))]
