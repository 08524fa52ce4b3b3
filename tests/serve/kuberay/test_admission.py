"""What a cluster refuses, to whom, and what it says before anything is changed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from apiserver.operator import Operator
from apiserver.server import ApiServer, Fault
from applied import DENIED, NO_DRY_RUN, Run, deployment, forbid, named

from kuberay.cluster import Cluster
from kuberay.errors import (
    ClusterError,
)


def test_one_refusal_leaves_the_cluster_as_it_is(api: ApiServer, run: Run, tree: Callable[..., Path]) -> None:
    bad = deployment("other")
    bad["spec"]["replicaz"] = 3
    version = api.store.version
    for words in ([], ["--dry-run", "server"]):
        done = run("apply", str(tree(more=(bad,))), *words)
        assert isinstance(done.exception, ClusterError)
        assert "nothing was applied" in str(done.exception)
        assert 'unknown field "spec.replicaz"' in done.stderr + str(done.exception)
    assert api.store.version == version


def test_another_owner_of_a_field_is_named_and_overruled_on_request(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path], cluster: Cluster
) -> None:
    folder = str(tree())
    run("apply", folder)
    cluster.apply(deployment(replicas=5), manager="keda", force=True)
    done = run("apply", folder)
    assert ".spec.replicas (keda)" in str(done.exception)
    assert "nothing was applied" in str(done.exception)
    assert "or take them with --force-conflicts" in str(done.exception)
    assert run("apply", folder, "--force-conflicts").exit_code == 0


def test_credentials_that_are_not_taken(api: ApiServer, run: Run, tree: Callable[..., Path]) -> None:
    api.token = "wanted"
    assert "does not know these credentials" in str(run("apply", str(tree())).exception)


def test_another_object_of_the_name_in_the_spare_namespace_says_nothing(
    api: ApiServer, run: Run, tree: Callable[..., Path]
) -> None:
    api.put(named("ConfigMap", "settings", namespace="default"))
    api.faults.append(
        Fault("422", method="PATCH", path="namespaces/default/configmaps/settings", reason="Invalid",
              message="data: Forbidden: field is immutable"),
    )  # fmt: skip
    done = run("apply", str(tree()), "--dry-run", "server")
    assert done.exit_code == 0, done.output
    assert "its namespace is not there yet, and default has another of its name" in " ".join(
        done.stdout.split()
    )


def test_who_may_not_look_at_everything_sees_the_rest(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    assert run("apply", str(tree())).exit_code == 0
    forbid(api, "GET", "serviceaccounts/head")
    seen = run("status", "manta/manta")
    assert seen.exit_code == 0, seen.output
    assert "5 of 5 objects are as they should be" in seen.stdout
    assert "not ours to look at: ServiceAccount manta/head" in seen.stdout
    assert json.loads(run("status", "manta/manta", "--json").stdout)["not_read"] == [
        "ServiceAccount manta/head"
    ]
    waited = run("wait", "manta/manta")
    assert waited.exit_code == 0, waited.output
    assert "not waited for: cannot read ServiceAccount manta/head" in waited.stderr


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        ("403", "Forbidden", DENIED),
        ("400", "BadRequest", DENIED),
        ("422", "Invalid", "spec.selector: Invalid value: {}: field is immutable"),
    ],
)
def test_what_admission_refuses_is_refused_before_anything_is_applied(
    api: ApiServer, run: Run, tree: Callable[..., Path], code: str, reason: str, message: str
) -> None:
    """Also where the namespace is still to come, and the server is asked in another one."""
    folder = str(tree())
    version = api.store.version
    api.faults.append(Fault(code, method="PATCH", path="deployments/litellm", reason=reason, message=message))
    done = run("apply", folder)
    assert "nothing was applied" in str(done.exception)
    assert message in str(done.exception)
    assert ("delete the object and apply it anew" in str(done.exception)) is ("immutable" in message)
    assert api.store.version == version


def test_a_quota_of_the_spare_namespace_says_nothing(
    api: ApiServer, run: Run, tree: Callable[..., Path]
) -> None:
    message = 'deployments "litellm" is forbidden: exceeded quota: small, requested: count/deployments.apps=1'
    api.faults.append(
        Fault("403", method="PATCH", path="deployments/litellm", reason="Forbidden", message=message)
    )
    done = run("apply", str(tree()), "--dry-run", "server")
    assert done.exit_code == 0, done.output
    assert "default has quotas or limits of its own" in " ".join(done.stdout.split())


def test_a_webhook_that_takes_no_dry_runs_keeps_nothing_from_being_applied(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    api.faults.append(
        Fault("400", method="PATCH", path="dryRun=All", times=99, reason="BadRequest", message=NO_DRY_RUN)
    )
    done = run("apply", str(tree()))
    assert done.exit_code == 0, done.output
    assert f"not checked: cannot apply RayService manta/manta: {NO_DRY_RUN}" in " ".join(done.stderr.split())


def test_a_webhook_that_misses_what_the_tree_brings_is_asked_again(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    """As that of OpenSearch's operator, which wants a role's cluster to be there, also in a dry run."""
    message = "admission webhook \"v.example.com\" denied the request: backend 'litellm' not found"
    api.faults.append(
        Fault("403", method="PATCH", path="ingresses/door", times=3, reason="Forbidden", message=message)
    )
    done = run("apply", str(tree()))
    assert done.exit_code == 0, done.output
    assert f"not checked: cannot apply Ingress manta/door: {message} (which comes with the tree)" in " ".join(
        done.stderr.split()
    )
    assert "it was applied a moment ago" in " ".join(done.stderr.split())
    # What is nobody's is refused at once.
    api.faults.append(
        Fault(
            "403",
            method="PATCH",
            path="ingresses/door",
            reason="Forbidden",
            message=message.replace("litellm", "another"),
        )
    )
    assert "nothing was applied" in str(run("apply", str(tree())).exception)
