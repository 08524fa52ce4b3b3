"""Going back to what served before: by itself, and by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver.kinds import Kind
from apiserver.operator import RUNNING, Operator, application
from apiserver.server import ApiServer, Fault
from applied import NAMESPACE, NO_DRY_RUN, Run, config_of, forbid, named

from kuberay.cluster import Cluster
from kuberay.errors import (
    Invalid,
    NoRevision,
    NotServing,
)
from kuberay.history import History
from kuberay.objects import ref_of


def test_what_does_not_come_up_is_rolled_back_with_its_reasons(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    assert run("apply", str(tree())).exit_code == 0
    operator.world.serve = lambda config, rounds: (
        RUNNING if "one" in config else application("DEPLOY_FAILED", "No module named 'two'")
    )
    # Pruning shows that what the new tree had besides is gone again.
    done = run("apply", str(tree("applications: [two]", more=(named("ConfigMap", "extra"),))))
    assert isinstance(done.exception, NotServing)
    assert "wave 05-application" in str(done.exception)
    assert "No module named 'two'" in str(done.exception)
    assert "4 of 7 objects were applied" in str(done.exception)
    assert "rolled back to revision 1, which serves again" in str(done.exception)
    assert "1. " in done.stderr
    now = api.get("RayService", NAMESPACE, "manta")
    assert now is not None
    assert now["spec"]["serveConfigV2"] == "applications: [one]"
    settings = api.get("ConfigMap", NAMESPACE, "settings")
    assert settings is not None
    assert settings["data"] == {"a": "applications: [one]"}
    seen = run("status", "manta/manta")
    assert seen.exit_code == 0, seen.output
    assert "revision 2" in seen.stdout
    assert "rolled-back" in seen.stdout


def test_a_first_apply_that_fails_says_that_there_is_no_way_back(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "one": not found'}
    operator.world.pod = lambda pod: {
        "phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [{"name": "ray", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}],
    }  # fmt: skip
    done = run("apply", str(tree()), "--timeout", "2")
    assert isinstance(done.exception, NotServing)
    assert "nothing was there before to go back to" in str(done.exception)
    assert any("ImagePullBackOff" in reason for reason in done.exception.reasons)
    assert "2 pods" in done.stderr or "of the head: container ray is in ImagePullBackOff" in done.stderr
    look = run("status", "manta/manta", "--json")
    assert look.exit_code == 1
    found = json.loads(look.stdout)
    assert found["revisions"][0]["state"] == "failed"
    assert any("ImagePullBackOff" in reason for reason in found["reasons"])


def test_a_deployment_that_does_not_come_up_rolls_back_too(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    deadline = {
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "it took too long",
    }  # fmt: skip
    operator.world.others = lambda document: (
        {"observedGeneration": document["metadata"]["generation"], "conditions": [deadline]}
        if document["kind"] == "Deployment"
        else {"loadBalancer": {"ingress": [{"hostname": "x"}]}}
    )
    done = run("apply", str(tree()))
    assert isinstance(done.exception, NotServing)
    assert "Deployment manta/litellm: ProgressDeadlineExceeded: it took too long" in str(done.exception)


def test_rolling_back_by_hand_and_what_is_newer(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    assert run("apply", str(tree())).exit_code == 0
    assert run("apply", str(tree("applications: [two]", more=(named("ConfigMap", "extra"),)))).exit_code == 0
    done = run("rollback", "manta/manta")
    assert done.exit_code == 0, done.output
    assert "serves: revision 1" in done.stdout
    assert "still in the cluster (--prune deletes it): ConfigMap manta/extra" in done.stdout
    assert run("wait", "manta/manta").exit_code == 0
    pruned = run("apply", str(tree()), "--prune")
    assert pruned.exit_code == 0, pruned.output


def test_who_may_change_the_application_alone_rolls_it_back(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    folder = tree()
    assert run("apply", str(folder)).exit_code == 0
    tree("applications: [two]")
    assert run("apply", str(folder / "05-application")).exit_code == 0
    forbid(api, "PATCH", "serviceaccounts/|/namespaces/manta[?]|deployments/|ingresses/")
    part = run("rollback", str(folder / "05-application"))
    assert part.exit_code == 0, part.output
    assert config_of(api) == "applications: [one]"
    revisions = json.loads(run("status", "manta/manta", "--json").stdout)["revisions"]
    assert [(one["number"], one["state"]) for one in revisions] == [
        (3, "serving"),
        (2, "serving"),
        (1, "serving"),
    ]
    # By name it is the whole; what is as it was and not theirs is left alone.
    whole = run("rollback", "manta/manta", "--to", "2")
    assert whole.exit_code == 0, whole.output
    assert config_of(api) == "applications: [two]"


def test_a_part_that_a_revision_does_not_have_cannot_go_back(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    folder = tree()
    assert run("apply", str(folder)).exit_code == 0
    tree("applications: [two]")
    assert run("apply", str(folder)).exit_code == 0
    late = folder / "06-entrance" / "objects.yaml"
    late.write_text(yaml.safe_dump(named("ConfigMap", "late")))
    done = run("rollback", str(folder / "06-entrance"))
    assert isinstance(done.exception, NoRevision)
    assert "revision 1 of manta/manta has nothing of this part" in str(done.exception)


def test_values_of_secrets_are_not_kept_and_not_rolled_back(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path], cluster: Cluster
) -> None:
    def secret(value: str) -> dict[str, Any]:
        return named("Secret", "login", stringData={"word": value})

    assert run("apply", str(tree(more=(secret("first"),)))).exit_code == 0
    assert run("apply", str(tree("applications: [two]", more=(secret("second"),)))).exit_code == 0
    for one in History(cluster, NAMESPACE, "manta").revisions():
        assert [found for found in one.objects if found["kind"] == "Secret"] == [named("Secret", "login")]
    done = run("rollback", "manta/manta")
    assert done.exit_code == 0, done.output
    assert "Secret manta/login is left as it is" in done.stderr
    assert config_of(api) == "applications: [one]"
    kept = api.get("Secret", NAMESPACE, "login")
    assert kept is not None
    assert kept["stringData"] == {"word": "second"}


@pytest.mark.parametrize("takes_dry_runs", [True, False])
def test_going_back_changes_roles_only_when_told_to(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path], *, takes_dry_runs: bool
) -> None:
    """Operators write revisions; what an administrator goes back to must not grant them more, also where the server
    does not say what would change.
    """
    api.kinds.append(Kind("rbac.authorization.k8s.io", "v1", "Role", "roles"))

    def role(*verbs: str) -> dict[str, Any]:
        rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": list(verbs)}]
        return named("Role", "reader", "rbac.authorization.k8s.io/v1", rules=rules)

    assert run("apply", str(tree(more=(role("get", "list"),)))).exit_code == 0
    assert run("apply", str(tree("applications: [two]", more=(role("get"),)))).exit_code == 0
    if not takes_dry_runs:
        api.faults.append(
            Fault("400", method="PATCH", path="dryRun=All", times=99, reason="BadRequest", message=NO_DRY_RUN)
        )
    done = run("rollback", "manta/manta")
    assert "nothing was changed: revision 1 has other roles than the cluster: Role manta/reader" in str(
        done.exception
    )
    assert config_of(api) == "applications: [two]"
    assert run("rollback", "manta/manta", "--access").exit_code == 0
    now = api.get("Role", NAMESPACE, "reader")
    assert now is not None
    assert now["rules"][0]["verbs"] == ["get", "list"]


def test_nobody_changes_what_a_revision_holds(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path], cluster: Cluster
) -> None:
    assert run("apply", str(tree())).exit_code == 0
    (noted,) = api.all("ControllerRevision")
    other = [{"op": "add", "path": "/data/waveSizes", "value": []}]
    with pytest.raises(Invalid, match="field is immutable"):
        cluster.patch(ref_of(noted), other, manager="somebody")
