from collections.abc import Callable
from typing import Any

import pytest
from apiserver.operator import RUNNING, Operator, application
from apiserver.server import ApiServer, Fault

from kuberay.cluster import Cluster
from kuberay.errors import Absent, Changed, FieldConflict, Invalid, KindMissing, NoRevision, NotServing
from kuberay.history import State
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
    assert api.all("RayCluster") == api.all("Pod") == api.all("ConfigMap") == []


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
