"""How an applied tree is now: its RayService, everything else that is not ready, its history. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.lifecycle.readiness import readiness
from cluster.lifecycle.target import Target
from kuberay.cluster import Cluster
from kuberay.diagnosis import explain
from kuberay.errors import Forbidden, KindMissing, Refused
from kuberay.evidence import gather
from kuberay.history import Revision
from kuberay.objects import Document, Ref, ref_of
from kuberay.service_status import Phase, ServiceStatus, read_status


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen."""

    service: ServiceStatus | None  # None: it is not there
    reasons: tuple[str, ...]  # why it does not serve
    num_objects: int
    not_ready: tuple[tuple[Ref, str], ...]
    revisions: tuple[Revision, ...]
    not_read: tuple[str, ...] = ()  # what we may not look at

    @property
    def is_well(self) -> bool:
        serves = self.service is not None and self.service.phase is Phase.SERVING
        return serves and not self.not_ready


def look_at(cluster: Cluster, target: Target) -> Look:
    """The state of a target, in as many requests as it has objects.

    Raises:
        KindMissing: the cluster has no RayServices.
    """
    try:
        revisions = target.history(cluster).revisions()
    except Refused:  # whoever may only look at RayServices is shown those
        revisions = []
    objects = [one for wave in target.objects(revisions) for one in wave]
    service = target.service(cluster)
    document = service.get()
    status = read_status(document) if document is not None else None
    serves = status is not None and status.phase is Phase.SERVING
    reasons = () if serves else tuple(one.text for one in explain(gather(cluster, service.ref, document)))
    others = [one for one in objects if one["kind"] != "RayService"]
    not_read: list[str] = []
    judged = [(ref_of(one), _waits_for(cluster, one, not_read)) for one in others]
    not_ready = tuple((ref, waits_for) for ref, waits_for in judged if waits_for)
    return Look(status, reasons, len(objects), not_ready, tuple(revisions), tuple(not_read))


def _waits_for(cluster: Cluster, wanted: Document, not_read: list[str]) -> str:
    try:
        document = cluster.get(ref_of(wanted))
    except KindMissing:
        return "the cluster does not have its kind"
    except Forbidden:
        not_read.append(str(ref_of(wanted)))
        return ""
    return "not there" if document is None else readiness(document).waits_for
