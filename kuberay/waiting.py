"""Waiting for a RayService: watches it, tells what happens, and finds out why it does not serve."""

from __future__ import annotations

from collections.abc import Callable

from kuberay.cluster import Cluster
from kuberay.diagnosis import Reason, explain
from kuberay.errors import NotServing
from kuberay.evidence import gather
from kuberay.objects import RAY, Document, Ref
from kuberay.patience import Patience
from kuberay.service_status import ServiceStatus, read_status
from kuberay.versions import outdated
from kuberay.watching import follow

TICK_S = 5.0
EXPLAIN_EVERY_S = 15.0


class _Told:
    """Tells each thing when it is new, and looks for reasons from time to time."""

    def __init__(self, cluster: Cluster, ref: Ref, tell: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._ref = ref
        self._tell = tell
        self._explained_at_s = cluster.now_s()
        self.line = ""
        self.reasons: list[Reason] = []

    def state(self, status: ServiceStatus | None) -> None:
        line = str(status) if status else "not there"
        if status is not None and status.old_answers and status.active is not None:
            line += f"; RayCluster {status.active.name} takes the requests meanwhile"
        if line != self.line:
            self.line = line
            self._tell(f"{self._ref} is {line}")

    def is_due(self) -> bool:
        return self._cluster.now_s() - self._explained_at_s >= EXPLAIN_EVERY_S

    def explain(self, document: Document | None) -> None:
        self._explained_at_s = self._cluster.now_s()
        found = explain(gather(self._cluster, self._ref, document))
        for one in found:
            if one.text not in self.line and one not in self.reasons:
                self._tell(f"  {one.text}")
        self.reasons = found


def wait_until_serving(
    cluster: Cluster, ref: Ref, *, timeout_s: float, patience: Patience, tell: Callable[[str], None]
) -> ServiceStatus:
    """See `RayService.wait`."""
    judge = patience.judge(cluster.now_s)
    told = _Told(cluster, ref, tell)
    until_s = cluster.now_s() + timeout_s
    document: Document | None = None
    for document in follow(cluster, ref, until_s=until_s, tick_s=patience.tick_s(TICK_S)):
        status = read_status(document) if document is not None else None
        told.state(status)
        if judge.is_settled(status) and status is not None and document is not None:
            _refuse_another_version(cluster, document, status)
            return status
        if told.is_due() or judge.has_failed:
            told.explain(document)
        if judge.has_failed:
            raise _not_serving(ref, f"failed ({told.line})", told)
        if stuck := judge.stuck_for_too_long(told.reasons):
            raise _not_serving(ref, f"does not serve, and waiting will not mend it: {stuck}", told)
    told.explain(document)
    raise _not_serving(ref, f"does not serve after {timeout_s:.0f} s; it is {told.line}", told)


def _refuse_another_version(cluster: Cluster, document: Document, status: ServiceStatus) -> None:
    """
    Raises:
        NotServing: what serves is not what was asked for, and KubeRay leaves it at that.
    """
    name = status.active.name if status.active else ""
    found = cluster.get(Ref(RAY, "RayCluster", status.namespace, name)) if name else None
    if found is not None and (said := outdated(document, found)):
        raise NotServing(
            f"RayService {status.namespace}/{status.name} serves an old version, and KubeRay makes no RayCluster of "
            f"the new one: in {name} {said}; see its upgradeStrategy.type, and the operator's feature gates"
        )


def _not_serving(ref: Ref, what: str, told: _Told) -> NotServing:
    return NotServing(f"{ref} {what}", [one.text for one in told.reasons])
