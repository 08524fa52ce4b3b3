from collections.abc import Callable
from typing import Any

import pytest
from apiserver.operator import READY_POD, RUNNING, Operator, application
from apiserver.server import ApiServer, Fault

from kuberay import waiting
from kuberay.cluster import Cluster
from kuberay.deletion import delete_service
from kuberay.errors import (
    Absent,
    Changed,
    Ending,
    FieldConflict,
    Invalid,
    KindMissing,
    NoRevision,
    NotServing,
    Refused,
)
from kuberay.history import State
from kuberay.objects import Ref
from kuberay.patience import Patience
from kuberay.rayservice import RayService
from kuberay.service_status import Phase

Make = Callable[..., dict[str, Any]]
LONG_S = 60.0


@pytest.fixture
def service(cluster: Cluster) -> RayService:
    return RayService(cluster, "default", "manta")


def test_a_service_is_applied_serves_and_is_deleted(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    told: list[str] = []
    operator.world.cleanup_rounds = 5
    assert service.status() is None
    assert service.apply(document()).outcome == "created"
    status = service.wait(timeout_s=LONG_S, patience=soon, tell=told.append, record=True)
    assert status.phase is Phase.SERVING
    assert status.version == status.seen_version == 1
    assert told[-1] == "RayService default/manta is serving"
    assert any("DEPLOYING" in line or "starting" in line for line in told[:-1])
    assert [(one.number, one.state) for one in service.history.revisions()] == [(1, State.SERVING)]
    told.clear()
    assert service.delete(timeout_s=LONG_S, tell=told.append) == []
    assert any("gcs-ft-redis-cleanup-finalizer" in line for line in told)
    assert service.get() is None
    assert api.all("RayCluster") == api.all("Pod") == api.all("ControllerRevision") == []


def test_create_is_only_for_what_is_not_there(service: RayService, document: Make) -> None:
    service.create(document())
    with pytest.raises(Changed, match="there already"):
        service.create(document())


def test_what_nobody_takes_up_says_so(service: RayService, document: Make, soon: Patience) -> None:
    service.apply(document())
    with pytest.raises(NotServing, match="after 1 s") as caught:
        service.wait(timeout_s=1.0, patience=soon)
    assert "is KubeRay running" in caught.value.reasons[0]


def test_a_changed_configuration_is_not_believed_before_serve_has_it(
    operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    """The operator's first round after the change reports the old applications under the new generation."""
    service.apply(document())
    service.wait(timeout_s=LONG_S, patience=soon)
    operator.world.serve = lambda config, rounds: (
        application("RUNNING", Ingress="HEALTHY")
        if config == "applications: [one]"
        else application(
            "DEPLOY_FAILED" if rounds > 3 else "DEPLOYING", "no module named two", Ingress="UPDATING"
        )
    )
    assert service.update_serve_config("applications: [two]").document["metadata"]["generation"] == 2
    with pytest.raises(NotServing, match="no module named two"):
        service.wait(timeout_s=LONG_S, patience=soon)


def test_a_serve_configuration_changes_in_place(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    service.apply(document())
    before = service.wait(timeout_s=LONG_S, patience=soon)
    changed = service.update_serve_config("applications: [two]").document
    after = service.wait(timeout_s=LONG_S, patience=soon)
    assert before.active is not None
    assert after.active is not None
    assert after.active.name == before.active.name
    assert changed["spec"]["rayClusterConfig"] == document()["spec"]["rayClusterConfig"]
    assert changed["metadata"]["labels"] == {"app": "manta"}
    # All of it is still ours: applying without the labels takes them away.
    plain = document(config="applications: [two]")
    del plain["metadata"]["labels"]
    assert "labels" not in service.apply(plain).document["metadata"]


def test_the_configuration_of_what_is_not_there_cannot_change(service: RayService) -> None:
    with pytest.raises(Absent):
        service.update_serve_config("applications: []")


def test_another_image_makes_another_ray_cluster_before_the_old_one_goes(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    service.apply(document())
    old = service.wait(timeout_s=LONG_S, patience=soon)
    told: list[str] = []
    service.apply(document(image="two"))
    new = service.wait(timeout_s=LONG_S, patience=soon, tell=told.append)
    assert old.active is not None
    assert new.active is not None
    assert new.active.name != old.active.name
    assert any("upgrading: BothActivePendingClustersExist" in line for line in told)


def test_a_misspelt_knob_is_refused_by_name(api: ApiServer, service: RayService, document: Make) -> None:
    with pytest.raises(Invalid, match=r'unknown field "spec\.serveConfigV3"'):
        service.apply(document(serveConfigV3="x"))
    assert service.get() is None
    assert service.history.revisions() == []


def test_a_wrong_type_is_refused_with_its_path(service: RayService, document: Make) -> None:
    with pytest.raises(Invalid, match=r"spec\.suspend in body must be of type boolean"):
        service.apply(document(suspend="yes"))


def test_what_the_operator_refuses_fails_at_once_and_mends_when_it_is_mended(
    operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    operator.world.invalid = (
        lambda spec: "the headService needs no name" if spec["serveConfigV2"] == "bad" else ""
    )
    service.apply(document(config="bad"))
    with pytest.raises(NotServing, match="the headService needs no name"):
        service.wait(timeout_s=LONG_S, patience=soon, record=True)
    assert service.history.revisions()[0].state is State.FAILED
    service.apply(document())  # the condition of before still stands when the wait begins
    assert service.wait(timeout_s=LONG_S, patience=soon).phase is Phase.SERVING


def test_others_fields_are_kept_and_named(cluster: Cluster, service: RayService, document: Make) -> None:
    service.apply(document())
    suspended = {"apiVersion": "ray.io/v1", "kind": "RayService", "spec": {"suspend": True},
                 "metadata": {"name": "manta", "namespace": "default"}}  # fmt: skip
    cluster.apply(suspended, manager="kueue")
    with pytest.raises(FieldConflict, match=r"\.spec\.suspend \(kueue\)") as caught:
        service.apply(document(suspend=False))
    assert caught.value.conflicts == ((".spec.suspend", "kueue"),)
    assert service.apply(document()).document["spec"]["suspend"] is True
    assert service.apply(document(suspend=False), force=True).document["spec"]["suspend"] is False


def test_a_dry_run_changes_nothing(api: ApiServer, service: RayService, document: Make) -> None:
    assert service.apply(document(), dry_run=True).outcome == "created"
    assert service.get() is None
    service.apply(document())
    version = api.store.version
    assert service.apply(document(config="two"), dry_run=True).outcome == "changed"
    assert service.apply(document(), dry_run=True).outcome == "unchanged"
    assert api.store.version == version


def test_rolling_back_applies_what_served_before(
    operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    service.apply(document())
    service.wait(timeout_s=LONG_S, patience=soon, record=True)
    operator.world.serve = lambda config, rounds: (
        RUNNING if "one" in config else application("DEPLOY_FAILED", "boom")
    )
    service.apply(document(config="applications: [two]", suspend=False))
    with pytest.raises(NotServing, match="boom"):
        service.wait(timeout_s=LONG_S, patience=soon, record=True)
    assert service.rollback().number == 1
    service.wait(timeout_s=LONG_S, patience=soon)
    now = service.get()
    assert now is not None
    assert now["spec"]["serveConfigV2"] == "applications: [one]"
    assert "suspend" not in now["spec"]
    assert [one.state for one in service.history.revisions()] == [State.ROLLED_BACK, State.SERVING]
    with pytest.raises(NoRevision):
        service.rollback()
    with pytest.raises(NoRevision, match="kept are: 2, 1"):
        service.rollback(7)


def test_a_cluster_without_kuberay_says_so(api: ApiServer, service: RayService, document: Make) -> None:
    api.kinds[:] = [kind for kind in api.kinds if kind.group != "ray.io"]
    with pytest.raises(KindMissing, match="no kind RayService"):
        service.apply(document())


def test_deleting_goes_on_where_no_collector_runs(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    api.store.collects_garbage = False
    service.apply(document())
    service.wait(timeout_s=LONG_S, patience=soon)
    assert service.delete(timeout_s=LONG_S) == []
    assert api.all("RayCluster") == api.all("Pod") == []


def test_what_is_held_is_named(api: ApiServer, service: RayService, document: Make) -> None:
    service.apply(document())
    api.store.change(
        api.key("RayService", "default", "manta"),
        lambda one: one["metadata"].update(finalizers=["example.com/hold"]),
    )
    left = service.delete(timeout_s=0.1)
    assert [str(one) for one in left] == ["RayService default/manta, held by example.com/hold"]
    assert service.status() is not None


def test_waiting_survives_whatever_happens_to_the_watch(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    api.faults += [
        Fault("cut", only_watches=True, times=2),
        Fault("drop", only_watches=True, times=1),
        Fault("429", only_watches=True, times=1, retry_after="1", reason="TooManyRequests"),
        Fault("410", only_watches=True, times=1, reason="Expired"),
        Fault("503", method="GET", path="rayservices/manta", times=1),
    ]
    operator.world.serve = lambda config, rounds: RUNNING if rounds > 60 else application("DEPLOYING")
    service.apply(document())
    assert service.wait(timeout_s=LONG_S, patience=soon).phase is Phase.SERVING
    assert all(fault.times == 0 for fault in api.faults)


def test_faults_of_the_server_within_a_watch_end_no_waiting(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    """What an API server says when etcd, or a proxy before it, breaks off: an ERROR event, or no event at all."""
    status = {
        "kind": "Status",
        "code": 500,
        "reason": "InternalError",
        "message": "unable to decode an event",
    }
    api.watch_says += [{"type": "ERROR", "object": status}, "<html>bad gateway</html>"]
    operator.world.serve = lambda config, rounds: RUNNING if rounds > 30 else application("DEPLOYING")
    service.apply(document())
    assert service.wait(timeout_s=LONG_S, patience=soon).phase is Phase.SERVING
    assert api.watch_says == []


def test_who_may_read_and_not_watch_reads_again(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    message = 'rayservices.ray.io is forbidden: User "me" cannot watch resource "rayservices"'
    api.faults.append(Fault("403", only_watches=True, times=99, reason="Forbidden", message=message))
    service.apply(document())
    assert service.wait(timeout_s=LONG_S, patience=soon).phase is Phase.SERVING
    assert api.asked("GET", "watch=true") == 1


def test_a_namespace_that_an_older_server_is_emptying_already_is_no_fault(
    api: ApiServer, cluster: Cluster
) -> None:
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old", "finalizers": ["hold"]}})
    ref = Ref("v1", "Namespace", "", "old")
    assert cluster.delete(ref)
    message = "The system is ensuring all content is removed from this namespace"
    api.faults.append(Fault("409", method="DELETE", times=1, reason="Conflict", message=message))
    assert cluster.delete(ref)


def test_a_version_that_is_gone_begins_anew(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        api.store.compact()

    service.apply(document())
    assert service.wait(timeout_s=LONG_S, patience=soon, tell=tell).phase is Phase.SERVING
    assert api.store.compacted > 0


def test_too_many_requests_are_waited_out(api: ApiServer, service: RayService, document: Make) -> None:
    api.faults.append(Fault("429", method="PATCH", times=2, retry_after="1", reason="TooManyRequests"))
    assert service.apply(document()).outcome == "created"
    # A dry run (tried three times), then the apply.
    assert api.asked("PATCH", "rayservices") == 4


def test_a_lost_answer_is_asked_for_again(api: ApiServer, service: RayService, document: Make) -> None:
    api.faults.append(Fault("drop", method="PATCH", times=1))
    assert service.apply(document()).outcome == "created"


def test_a_webhook_that_is_not_up_yet_is_waited_for(
    api: ApiServer, service: RayService, document: Make
) -> None:
    api.faults.append(
        Fault(
            "500",
            method="PATCH",
            times=1,
            reason="InternalError",
            message='Internal error occurred: failed calling webhook "x": dial tcp: connection refused',
        )
    )
    assert service.apply(document()).outcome == "created"


def test_a_written_status_is_no_change_of_what_is_wanted(
    api: ApiServer, service: RayService, document: Make
) -> None:
    service.apply(document())
    api.faults.append(
        Fault("409", method="PATCH", times=2, reason="Conflict", message="the object has been modified")
    )
    assert (
        service.update_serve_config("applications: [two]").document["spec"]["serveConfigV2"]
        == "applications: [two]"
    )


def test_somebody_elses_change_is_not_lost(
    api: ApiServer, cluster: Cluster, service: RayService, document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.apply(document())
    apply = cluster.apply

    def late(wanted: dict[str, Any], **options: Any) -> Any:
        api.store.change(
            api.key("RayService", "default", "manta"), lambda one: one["spec"].update(suspend=True)
        )
        return apply(wanted, **options)

    monkeypatch.setattr(cluster, "apply", late)
    with pytest.raises(Changed, match="has been modified"):
        service.update_serve_config("applications: [two]")


def test_warnings_arrive(api: ApiServer, service: RayService, document: Make) -> None:
    api.warnings["RayService"] = 'ray.io/v1alpha1 is deprecated, use \\"v1\\"'
    assert service.apply(document()).warnings == ('ray.io/v1alpha1 is deprecated, use "v1"',)


def bounds_of(api: ApiServer, name: str) -> tuple[int, int, int]:
    (group,) = (api.get("RayCluster", "default", name) or {})["spec"]["workerGroupSpecs"]
    return group["replicas"], group["minReplicas"], group["maxReplicas"]


def with_bounds(document: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    document["spec"]["rayClusterConfig"]["workerGroupSpecs"][0] |= {"minReplicas": least, "maxReplicas": most}
    return document


def test_bounds_of_groups_reach_the_ray_cluster_that_runs_and_the_autoscalers_number_stays(
    api: ApiServer, operator: Operator, cluster: Cluster, service: RayService, document: Make, soon: Patience
) -> None:
    service.apply(with_bounds(document(), 1, 4))
    before = service.wait(timeout_s=LONG_S, patience=soon, record=True)
    assert before.active is not None
    scaled = [{"op": "add", "path": "/spec/workerGroupSpecs/0/replicas", "value": 3}]
    cluster.patch(Ref("ray.io/v1", "RayCluster", "default", before.active.name), scaled, manager="autoscaler")

    service.apply(with_bounds(document(), 0, 9))
    after = service.wait(timeout_s=LONG_S, patience=soon, record=True)
    assert after.active is not None
    assert after.active.name == before.active.name
    assert bounds_of(api, after.active.name) == (3, 0, 9)
    asked = len(api.requests)
    service.apply(with_bounds(document(), 0, 9))
    assert not any(method == "PATCH" and "rayclusters" in path for method, path in api.requests[asked:])
    service.rollback(1)
    assert bounds_of(api, after.active.name) == (3, 1, 4)


def test_a_ray_cluster_that_is_replaced_keeps_its_bounds(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    service.apply(with_bounds(document(), 1, 4))
    old = service.wait(timeout_s=LONG_S, patience=soon)
    operator.world.serve = lambda config, rounds: application("DEPLOYING", Ingress="UPDATING")
    service.apply(with_bounds(document(image="two"), 2, 2))
    assert old.active is not None
    assert bounds_of(api, old.active.name) == (1, 1, 4)


def test_what_is_being_deleted_is_not_applied_to(
    api: ApiServer, cluster: Cluster, service: RayService, document: Make
) -> None:
    service.apply(document())
    hold = {"finalizers": ["example.com/hold"]}
    api.store.change(api.key("RayService", "default", "manta"), lambda one: one["metadata"].update(hold))
    cluster.delete(service.ref)
    with pytest.raises(Ending, match=r"is still being deleted, held by example\.com/hold"):
        service.apply(document(config="applications: [two]"))
    assert service.apply(document(), dry_run=True).outcome == "unchanged"


def test_a_written_status_makes_no_change_of_an_apply(
    api: ApiServer, cluster: Cluster, service: RayService, document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.apply(document())
    get = cluster.get

    def stale(ref: Ref) -> Any:
        found = get(ref)
        api.store.change(
            api.key("RayService", "default", "manta"),
            lambda one: one.update(status={"numServeEndpoints": len(api.requests)}),
        )
        return found

    monkeypatch.setattr(cluster, "get", stale)
    assert service.apply(document(), record=False).outcome == "unchanged"
    assert service.apply(document(), dry_run=True).outcome == "unchanged"


def test_a_write_at_the_same_moment_is_tried_again(
    api: ApiServer, service: RayService, document: Make
) -> None:
    api.faults += [
        Fault("409", method="PATCH", reason="Conflict", message="the object has been modified"),
        Fault("404", method="PATCH", reason="NotFound", message="the server could not find the requested resource"),
        Fault("500", method="PATCH", reason="InternalError", message="etcdserver: leader changed"),
    ]  # fmt: skip
    assert service.apply(document()).outcome == "created"


def test_a_list_that_the_server_forgot_begins_anew(api: ApiServer, cluster: Cluster, document: Make) -> None:
    for number in range(7):
        api.put(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"c{number}", "namespace": "default"},
            }
        )
    api.faults.append(Fault("410", method="GET", path="continue=", after=1, reason="Expired"))
    found = cluster.find("v1", "ConfigMap", namespace="default")
    assert [one["metadata"]["name"] for one in found] == [f"c{number}" for number in range(7)]
    api.faults.append(Fault("410", method="GET", path="configmaps", times=9, reason="Expired"))
    with pytest.raises(Refused):
        cluster.find("v1", "ConfigMap", namespace="default")


def test_deleting_touches_no_other_namespace(
    api: ApiServer, operator: Operator, cluster: Cluster, document: Make, soon: Patience
) -> None:
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    other = RayService(cluster, "other", "manta")
    other.apply(document())
    other.wait(timeout_s=LONG_S, patience=soon)
    mine = RayService(cluster, "", "manta")
    mine.apply(document())
    mine.wait(timeout_s=LONG_S, patience=soon)
    assert (
        delete_service(cluster, Ref("ray.io/v1", "RayService", "", "manta"), timeout_s=LONG_S, tell=print)
        == []
    )
    assert {one["metadata"]["namespace"] for one in api.all("RayCluster")} == {"other"}


def test_a_ray_cluster_that_was_given_up_keeps_no_rollback_from_serving(
    api: ApiServer, operator: Operator, service: RayService, document: Make, soon: Patience,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its pods are there until its deletion is due, and nothing ever mends them."""
    monkeypatch.setattr(waiting, "EXPLAIN_EVERY_S", 0.1)
    back_off = {"reason": "ImagePullBackOff", "message": "not found"}
    stuck = {
        "phase": "Pending",
        "containerStatuses": [{"name": "ray", "ready": False, "restartCount": 0, "state": {"waiting": back_off}}],
    }  # fmt: skip

    def pod(wanted: dict[str, Any]) -> dict[str, Any]:
        found = api.get("RayCluster", "default", wanted["metadata"]["labels"]["ray.io/cluster"]) or {}
        image = found["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]
        return stuck if image == "two" else READY_POD

    operator.world.pod = pod
    service.apply(document())
    service.wait(timeout_s=LONG_S, patience=soon, record=True)
    service.apply(document(image="two"))
    with pytest.raises(NotServing, match="ImagePullBackOff"):
        service.wait(timeout_s=LONG_S, patience=soon, record=True)
    operator.world.serve = lambda config, rounds: RUNNING if rounds > 60 else application("DEPLOYING")
    service.rollback()
    assert service.wait(timeout_s=LONG_S, patience=soon).phase is Phase.SERVING
    assert any(one["status"] == stuck for one in api.all("Pod"))


def test_the_old_version_that_goes_on_serving_is_not_taken_for_the_new_one(
    operator: Operator, service: RayService, document: Make, soon: Patience
) -> None:
    operator.world.makes_another = False
    service.apply(document())
    service.wait(timeout_s=LONG_S, patience=soon)
    service.apply(document(image="two"))
    with pytest.raises(NotServing, match="the head runs one, not two; see its upgradeStrategy") as caught:
        service.wait(timeout_s=LONG_S, patience=soon, record=True)
    assert "serves an old version" in str(caught.value)
    assert service.history.revisions()[0].state is State.FAILED
