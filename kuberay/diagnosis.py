"""Why a RayService does not serve, in sentences, the likeliest cause first. Pure: judges `Evidence`.

What is looked at, from the inside out: Serve's own words, containers, pods, RayClusters, nodes, and the warnings
that the operator, the scheduler, the kubelet and Karpenter wrote about these. Pods with the same trouble are one
sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kuberay.evidence import Evidence
from kuberay.objects import Document, at, condition, is_true
from kuberay.service_status import Phase, read_status

GROUP_LABEL = "ray.io/group"
TYPE_LABEL = "ray.io/node-type"
# A container in one of these does not start until somebody changes something.
STUCK = (
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
)
MAX_REASONS = 12
MAX_TEXT = 400


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong. `is_stuck`: waiting alone does not mend it."""

    text: str
    is_stuck: bool = False
    weight: int = 5  # the smallest is told first


def explain(evidence: Evidence) -> list[Reason]:
    """Everything that is wrong, the likeliest cause first, at most MAX_REASONS; empty: nothing was found."""
    found = [*_service(evidence), *_pods(evidence), *_ray_clusters(evidence), *_nodes(evidence)]
    found += list(_events(evidence, " ".join(reason.text for reason in found)))
    found += [Reason(text, weight=9) for text in evidence.not_read]
    unique = {reason.text: reason for reason in found}
    return sorted(unique.values(), key=lambda reason: (not reason.is_stuck, reason.weight))[:MAX_REASONS]


def explain_pods(pods: Sequence[Document], events: Sequence[Document], owner: str) -> list[Reason]:
    """What is wrong with the pods of any workload; `owner` says whose they are."""
    evidence = Evidence(None, pods=tuple(pods), events=tuple(events))
    found = list(_pods(evidence, owner))
    found += _events(evidence, " ".join(reason.text for reason in found))
    return sorted(found, key=lambda reason: (not reason.is_stuck, reason.weight))[:MAX_REASONS]


def _service(evidence: Evidence) -> Iterator[Reason]:
    if evidence.service is None:
        yield Reason("the RayService is not there", is_stuck=True, weight=0)
        return
    status = read_status(evidence.service)
    if status.phase is Phase.FAILED:
        yield Reason(status.reason, is_stuck=True, weight=1)
    elif status.phase in (Phase.UNSEEN, Phase.SUSPENDED):
        yield Reason(status.reason, weight=1)
    for which, cluster in (("pending", status.pending), ("active", status.active)):
        for one in cluster.applications if cluster else ():
            if not one.is_well:
                yield Reason(f"Serve, on the {which} RayCluster: {one}", weight=3)


def _pods(evidence: Evidence, owner: str = "") -> Iterator[Reason]:
    groups: dict[tuple[str, bool, int], list[str]] = {}  # (trouble, is_stuck, weight) -> pods' names
    for pod in evidence.pods:
        for trouble in _troubles(pod):
            key = (f"{owner or _role(pod)}: {trouble.text}", trouble.is_stuck, trouble.weight)
            groups.setdefault(key, []).append(pod["metadata"]["name"])
    for (text, is_stuck, weight), names in groups.items():
        who = f"pod {names[0]}" if len(names) == 1 else f"{len(names)} pods ({names[0]}, ...)"
        yield Reason(f"{who} of {text}", is_stuck, weight)


def _role(pod: Mapping[str, Any]) -> str:
    labels = at(pod, "metadata", "labels") or {}
    if labels.get(TYPE_LABEL) == "head":
        return "the head"
    return f"group {labels.get(GROUP_LABEL, 'unknown')}"


def _troubles(pod: Mapping[str, Any]) -> Iterator[Reason]:
    scheduled = condition(pod, "PodScheduled")
    if scheduled and scheduled.get("status") == "False":
        yield Reason(f"{scheduled.get('reason')}: {_short(scheduled.get('message'))}", weight=4)
    if at(pod, "status", "phase") == "Failed":
        said = at(pod, "status", "message") or ""
        yield Reason(f"{at(pod, 'status', 'reason') or 'Failed'}: {_short(said)}".rstrip(": "), weight=2)
    statuses = [
        *(at(pod, "status", "initContainerStatuses") or ()),
        *(at(pod, "status", "containerStatuses") or ()),
    ]
    for status in statuses:
        yield from _container(status)


def _container(status: Mapping[str, Any]) -> Iterator[Reason]:
    name = status.get("name")
    waiting = at(status, "state", "waiting") or {}
    ended = at(status, "state", "terminated") or at(status, "lastState", "terminated") or {}
    died = f"it ended with code {ended.get('exitCode')}" if ended else ""
    if ended.get("reason") not in (None, "Error", "Completed"):
        died += f" ({ended['reason']})"
    if ended.get("message"):
        died += f": {_short(ended['message'])}"
    if waiting.get("reason") in STUCK:
        said = died if waiting["reason"] == "CrashLoopBackOff" and died else _short(waiting.get("message"))
        yield Reason(
            f"container {name} is in {waiting['reason']}: {said}".rstrip(": "), is_stuck=True, weight=1
        )
    elif ended and ended.get("exitCode") != 0 and (status.get("restartCount") or not status.get("ready")):
        yield Reason(
            f"container {name} was restarted {status.get('restartCount', 0)} times; {died}", weight=2
        )


def _ray_clusters(evidence: Evidence) -> Iterator[Reason]:
    for cluster in evidence.ray_clusters:
        name = cluster["metadata"]["name"]
        failure = condition(cluster, "ReplicaFailure")
        if is_true(failure) and failure is not None:
            said = f"{failure.get('reason')}: {_short(failure.get('message'))}"
            yield Reason(f"RayCluster {name}: {said}", weight=2)
        elif at(cluster, "status", "state") == "failed":
            yield Reason(f"RayCluster {name}: {_short(at(cluster, 'status', 'reason'))}", weight=2)
        head = condition(cluster, "HeadPodReady")
        if head and head.get("status") == "False" and head.get("message"):
            said = f"{head.get('reason')}: {_short(head['message'])}"
            yield Reason(f"RayCluster {name}: the head is not ready: {said}", weight=6)
    if evidence.ray_clusters and not evidence.pods:
        yield Reason("the RayCluster has no pods yet", weight=6)


def _nodes(evidence: Evidence) -> Iterator[Reason]:
    for claim in evidence.node_claims:
        for kind in ("Launched", "Registered", "Initialized"):
            found = condition(claim, kind)
            if found and found.get("status") != "True":
                pool = (at(claim, "metadata", "labels") or {}).get("karpenter.sh/nodepool", "?")
                said = f"{found.get('reason', '')}: {_short(found.get('message'))}".strip(": ")
                yield Reason(
                    f"node {claim['metadata']['name']} of pool {pool} is not {kind.lower()}: {said}", weight=4
                )
                break
    for pool in evidence.node_pools:
        ready = condition(pool, "Ready")
        if ready and ready.get("status") == "False":
            yield Reason(
                f"NodePool {pool['metadata']['name']} is not ready: {_short(ready.get('message'))}", weight=3
            )


def _events(evidence: Evidence, told: str) -> Iterator[Reason]:
    """Warnings about any of these objects, each once, unless what they say was told already."""
    objects = [
        *([evidence.service] if evidence.service else []),
        *evidence.ray_clusters, *evidence.pods, *evidence.node_claims, *evidence.node_pools,
    ]  # fmt: skip
    ours = {(one["kind"], one["metadata"]["name"]) for one in objects}
    seen: set[tuple[str, str]] = set()
    for event in evidence.events:
        about = event.get("involvedObject") or {}
        kind, name = about.get("kind", ""), about.get("name", "")
        text = _short(event.get("message"))
        if (kind, name) not in ours or (event.get("reason", ""), text) in seen or text in told:
            continue
        seen.add((event.get("reason", ""), text))
        source = at(event, "source", "component") or event.get("reportingComponent") or ""
        by = f" ({source})" if source else ""
        yield Reason(f"{event.get('reason')} on {kind} {name}: {text}{by}", weight=5)


def _short(text: object) -> str:
    words = " ".join(str(text or "").split())
    return words if len(words) <= MAX_TEXT else words[: MAX_TEXT - 3] + "..."
