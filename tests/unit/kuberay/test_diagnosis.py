from typing import Any

from kuberay.diagnosis import MAX_REASONS, Reason, explain, explain_pods
from kuberay.evidence import Evidence

SERVICE: dict[str, Any] = {
    "apiVersion": "ray.io/v1", "kind": "RayService",
    "metadata": {"name": "manta", "namespace": "manta", "generation": 1},
    "status": {
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "False", "reason": "Initializing", "message": "..."}],
    },
}  # fmt: skip


def pod(name: str, group: str = "gpu", **status: Any) -> dict[str, Any]:
    labels = {"ray.io/group": group, "ray.io/node-type": "head" if group == "headgroup" else "worker"}
    return {"kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}


def container(state: dict[str, Any], last: dict[str, Any] | None = None, restarts: int = 0) -> dict[str, Any]:
    return {"name": "ray", "ready": False, "restartCount": restarts, "state": state, "lastState": last or {}}


def event(kind: str, name: str, reason: str, message: str, source: str = "") -> dict[str, Any]:
    return {
        "involvedObject": {"kind": kind, "name": name}, "reason": reason, "message": message,
        "source": {"component": source},
    }  # fmt: skip


def told(**found: Any) -> list[Reason]:
    return explain(Evidence(SERVICE, **{name: tuple(values) for name, values in found.items()}))


def test_nothing_wrong_is_nothing_to_tell() -> None:
    assert told(pods=[pod("a", phase="Running")]) == []


def test_an_image_that_cannot_be_pulled_is_one_sentence_for_all_its_pods() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x": not found'}}
    (reason,) = told(pods=[pod(name, containerStatuses=[container(waiting)]) for name in ("a", "b", "c")])
    assert reason.is_stuck
    assert reason.text.startswith(
        "3 pods (a, ...) of group gpu: container ray is in ImagePullBackOff: Back-off"
    )


def test_a_crash_loop_tells_how_the_container_died() -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
    last = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    (reason,) = told(pods=[pod("h", "headgroup", containerStatuses=[container(state, last, 4)])])
    assert (
        reason.text
        == "pod h of the head: container ray is in CrashLoopBackOff: it ended with code 137 (OOMKilled)"
    )


def test_a_missing_secret_and_init_containers_are_seen() -> None:
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "manta-env" not found'}}
    (reason,) = told(pods=[pod("a", initContainerStatuses=[container(waiting)])])
    assert reason.is_stuck
    assert 'secret "manta-env" not found' in reason.text


def test_pods_without_a_node_say_why_and_so_does_karpenter() -> None:
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes fit",
    }
    claim = {
        "kind": "NodeClaim", "metadata": {"name": "gpu-x", "labels": {"karpenter.sh/nodepool": "gpu"}},
        "status": {"conditions": [{
            "type": "Launched", "status": "False", "reason": "LaunchFailed", "message": "InsufficientInstanceCapacity",
        }]},
    }  # fmt: skip
    pool = {
        "kind": "NodePool", "metadata": {"name": "gpu"},
        "status": {"conditions": [{"type": "Ready", "status": "False", "message": "NodeClass is not there"}]},
    }  # fmt: skip
    reasons = told(
        pods=[pod("a", phase="Pending", conditions=[unschedulable])],
        node_claims=[claim],
        node_pools=[pool],
        events=[
            event("Pod", "a", "FailedScheduling", "no instance type has enough memory", "karpenter"),
            event("Pod", "other", "FailedScheduling", "not ours"),
        ],
    )
    text = "\n".join(reason.text for reason in reasons)
    assert "pod a of group gpu: Unschedulable: 0/3 nodes fit" in text
    assert "node gpu-x of pool gpu is not launched: LaunchFailed: InsufficientInstanceCapacity" in text
    assert "NodePool gpu is not ready: NodeClass is not there" in text
    assert "FailedScheduling on Pod a: no instance type has enough memory (karpenter)" in text
    assert "not ours" not in text


def test_pods_that_may_not_be_made() -> None:
    cluster = {
        "kind": "RayCluster", "metadata": {"name": "manta-a"},
        "status": {"conditions": [{
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreateHeadPod", "message": "exceeded quota",
        }]},
    }  # fmt: skip
    texts = [reason.text for reason in told(ray_clusters=[cluster])]
    assert texts == [
        "RayCluster manta-a: FailedCreateHeadPod: exceeded quota",
        "the RayCluster has no pods yet",
    ]


def test_what_only_a_person_can_mend_comes_first_and_the_list_ends() -> None:
    waiting = {"waiting": {"reason": "InvalidImageName", "message": "bad"}}
    events = [event("Pod", "a", f"Reason{number}", f"message {number}") for number in range(40)]
    reasons = told(pods=[pod("a", containerStatuses=[container(waiting)])], events=events)
    assert len(reasons) == MAX_REASONS
    assert reasons[0].is_stuck


def test_an_event_that_repeats_what_was_told_is_left_out() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}
    reasons = told(
        pods=[pod("a", containerStatuses=[container(waiting)])],
        events=[event("Pod", "a", "Failed", "manifest unknown")],
    )
    assert len(reasons) == 1


def test_pods_of_any_workload() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}
    (reason,) = explain_pods([pod("a", containerStatuses=[container(waiting)])], [], "Deployment x/litellm")
    assert reason.text == "pod a of Deployment x/litellm: container ray is in ErrImagePull: manifest unknown"


def test_what_may_not_be_read_is_said_last() -> None:
    assert told(not_read=["cannot list Pod: forbidden"])[-1].text == "cannot list Pod: forbidden"
