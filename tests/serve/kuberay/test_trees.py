"""Rendered trees in a cluster, by the commands that people run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver.kinds import KARPENTER
from apiserver.operator import RUNNING, Operator, application
from apiserver.server import ApiServer, Fault
from click.testing import CliRunner, Result

from cluster.lifecycle import waves
from cluster.lifecycle.applying import Options, apply_tree
from cluster.lifecycle.tree import read_tree
from kuberay.cluster import Cluster
from kuberay.errors import ClusterError, KindMissing, NoCluster, NotServing, Unreachable
from kuberay.history import History, State
from kuberay.patience import Patience
from manta.commands.cluster import apply as apply_command
from manta.commands.cluster import command, rollback, wait

Make = Callable[..., dict[str, Any]]
Run = Callable[..., Result]
NAMESPACE = "manta"


def named(
    kind: str, name: str, api_version: str = "v1", namespace: str = NAMESPACE, **more: Any
) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata} | more


def deployment(name: str = "litellm", replicas: int = 2) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": name, "image": name}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return named("Deployment", name, "apps/v1", spec=spec)


@pytest.fixture
def tree(tmp_path: Path, document: Make) -> Callable[..., Path]:
    """Writes a tree of three waves; returns its folder."""

    def write(config: str = "applications: [one]", more: tuple[dict[str, Any], ...] = ()) -> Path:
        service = document(config=config)
        service["metadata"]["namespace"] = NAMESPACE
        layers = {
            "01-foundation": [named("ServiceAccount", "head"), named("Namespace", NAMESPACE, namespace="")],
            "05-application": [named("ConfigMap", "settings", data={"a": config}), service],
            "06-entrance": [deployment(), named("Ingress", "door", "networking.k8s.io/v1", spec={}), *more],
        }
        root = tmp_path / "tree"
        for wave, objects in layers.items():
            (root / wave).mkdir(parents=True, exist_ok=True)
            (root / wave / "objects.yaml").write_text(yaml.safe_dump_all(objects))
            (root / wave / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["objects.yaml"]}))
        (root / "kustomization.yaml").write_text(yaml.safe_dump({"resources": list(layers)}))
        return root

    return write


@pytest.fixture
def run(kubeconfig: Path, soon: Patience, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `manta cluster ...`, less patient than for a person."""
    for module in (wait, rollback):
        monkeypatch.setattr(module, "Patience", lambda: soon)
    options = apply_command.Options
    monkeypatch.setattr(apply_command, "Options", lambda **given: options(**given, patience=soon))
    monkeypatch.setattr(waves, "LOOK_EVERY_S", 0.05)

    def call(*words: str, **options: Any) -> Result:
        line = [words[0], "--kubeconfig", str(kubeconfig), *words[1:]]
        done = CliRunner().invoke(command, line, standalone_mode=False, **options)
        if done.exception is None:
            done.exit_code = done.return_value  # as `manta` ends with
        return done

    return call


def test_a_tree_is_applied_in_its_order_and_deleted_in_the_opposite_one(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    folder = str(tree())
    done = run("apply", folder)
    assert done.exit_code == 0, done.output
    assert "manta/manta serves: revision 1" in done.stdout
    assert done.stderr.index("wave 01-foundation is ready") < done.stderr.index("wave 05-application:")
    assert done.stderr.index("RayService manta/manta is serving") < done.stderr.index("wave 06-entrance:")
    assert "6 of 6 objects were applied, up to wave 06-entrance: 5 created, 1 unchanged" in done.stderr
    again = run("apply", folder)
    assert "6 unchanged" in again.stderr

    api.put(named("PersistentVolumeClaim", "data"))
    api.put(
        named(
            "PersistentVolume",
            "pv-1",
            namespace="",
            status={"phase": "Bound"},
            spec={
                "capacity": {"storage": "100Gi"},
                "claimRef": {"namespace": NAMESPACE, "name": "data"},
                "persistentVolumeReclaimPolicy": "Retain",
                "csi": {"volumeHandle": "vol-0abc"},
            },
        )
    )
    api.kinds += KARPENTER
    labels = {
        "karpenter.sh/nodepool": "gpu", "node.kubernetes.io/instance-type": "m8g.xlarge",
        "karpenter.sh/capacity-type": "on-demand",
    }  # fmt: skip
    node = named("NodeClaim", "gpu-1", "karpenter.sh/v1", namespace="")
    node["metadata"]["labels"] = labels
    api.put(node)
    gone = run("delete", folder, "--yes")
    assert gone.exit_code == 0, gone.output
    assert gone.stderr.index("Ingress manta/door deleted") < gone.stderr.index(
        "RayService manta/manta: deleting it"
    )
    assert gone.stderr.index("RayService manta/manta: deleting") < gone.stderr.index(
        "ServiceAccount manta/head deleted"
    )
    assert "5 of 6 objects were deleted" in gone.stdout
    assert "kept: Namespace manta" in gone.stdout
    assert (
        "volume vol-0abc of 100Gi, Bound, claimed by manta/data; it stays when its claim goes" in gone.stdout
    )
    assert "NodeClaim gpu-1: node m8g.xlarge, on-demand, of pool gpu, $0.18 an hour" in gone.stdout
    assert api.all("RayService") == api.all("RayCluster") == api.all("Pod") == api.all("ConfigMap") == []
    assert api.get("Namespace", "", NAMESPACE) is not None
    assert run("delete", folder, "--yes", "--data").exit_code == 0
    assert api.get("Namespace", "", NAMESPACE) is None


def test_deleting_asks_first(api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]) -> None:
    folder = str(tree())
    run("apply", folder, "--no-wait")
    refused = run("delete", folder, input="n\n")
    assert refused.exit_code != 0
    assert api.get("RayService", NAMESPACE, "manta") is not None


def test_what_holds_a_deletion_is_said_and_nothing_below_it_is_touched(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    folder = str(tree())
    run("apply", folder, "--no-wait")
    hold = {"finalizers": ["ingress.k8s.aws/resources"]}
    api.store.change(api.key("Ingress", NAMESPACE, "door"), lambda one: one["metadata"].update(hold))
    done = run("delete", folder, "--yes", "--timeout", "0.3")
    assert isinstance(done.exception, ClusterError)
    assert "Ingress manta/door, held by ingress.k8s.aws/resources" in str(done.exception)
    assert api.get("RayService", NAMESPACE, "manta") is not None
    assert "still costs: Ingress manta/door" in done.stdout


def test_a_dry_run_asks_about_everything_and_changes_nothing(
    api: ApiServer, run: Run, tree: Callable[..., Path]
) -> None:
    version = api.store.version
    done = run("apply", str(tree()), "--dry-run", "server")
    assert done.exit_code == 0, done.output
    assert "RayService manta/manta created (dry run)" in done.stdout
    assert api.store.version == version


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


def test_a_cluster_without_kuberay_is_told_so_before_anything(
    api: ApiServer, run: Run, tree: Callable[..., Path]
) -> None:
    api.kinds[:] = [kind for kind in api.kinds if kind.group != "ray.io"]
    done = run("apply", str(tree()))
    assert isinstance(done.exception, KindMissing)
    assert "RayService (ray.io/v1): install the KubeRay operator" in str(done.exception)
    assert api.get("Namespace", "", NAMESPACE) is None
    left_out = run("apply", str(tree()), "--skip-missing-kinds", "--no-wait")
    assert left_out.exit_code == 0, left_out.output
    assert "left out: the cluster has no kind RayService" in left_out.stderr
    assert api.get("ConfigMap", NAMESPACE, "settings") is not None


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


def test_what_left_the_tree_is_named_and_pruned_on_request(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    run("apply", str(tree(more=(named("ConfigMap", "extra"),))))
    kept = run("apply", str(tree()))
    assert (
        "not in the tree any more, still in the cluster (--prune deletes it): ConfigMap manta/extra"
        in kept.stdout
    )
    run("apply", str(tree(more=(named("ConfigMap", "extra"),))))
    assert run("apply", str(tree()), "--prune").exit_code == 0
    assert api.get("ConfigMap", NAMESPACE, "extra") is None


def test_a_part_of_a_tree_keeps_the_rest_in_force(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    folder = tree()
    assert run("apply", str(folder)).exit_code == 0
    tree("applications: [two]")
    done = run("apply", str(folder / "05-application"))
    assert done.exit_code == 0, done.output
    assert "not in the tree any more" not in done.stdout
    assert "only the whole says" in str(run("apply", str(folder / "05-application"), "--prune").exception)
    seen = json.loads(run("status", "manta/manta", "--json").stdout)
    assert [one["number"] for one in seen["revisions"]] == [2, 1]
    assert seen["num_objects"] == 6
    gone = run("delete", str(folder / "06-entrance"), "--yes")
    assert "2 of 2 objects were deleted" in gone.stdout
    assert len(json.loads(run("status", "manta/manta", "--json").stdout)["revisions"]) == 2
    operator.world.serve = lambda config, rounds: (
        application("DEPLOY_FAILED", "boom") if "three" in config else RUNNING
    )
    tree("applications: [three]")
    failed = run("apply", str(folder / "05-application"))
    assert "rolled back to revision 2, which serves again" in str(failed.exception)
    now = api.get("RayService", NAMESPACE, "manta")
    assert now is not None
    assert now["spec"]["serveConfigV2"] == "applications: [two]"


def test_a_refusal_midway_leaves_a_record_of_what_was_applied(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    api.faults.append(Fault("403", method="PATCH", path="deployments/litellm", times=1, after=1, reason="Forbidden",
                            message="deployments.apps is forbidden"))  # fmt: skip
    done = run("apply", str(tree()))
    assert "4 of 6 objects were applied, up to wave 06-entrance" in str(done.exception)
    assert "forbidden" in str(done.exception)
    assert [
        one["data"]["state"] for one in api.all("ConfigMap") if "revision" in one["metadata"]["name"]
    ] == ["failed"]


def test_an_interrupt_says_what_was_applied_and_leaves_it(
    api: ApiServer, operator: Operator, tree: Callable[..., Path], cluster: Cluster, soon: Patience
) -> None:
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if line.startswith("wave 06-entrance"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply_tree(cluster, read_tree(tree()), Options(patience=soon), tell)
    assert "interrupted: 4 of 6 objects were applied, up to wave 05-application" in told[-1]
    assert History(cluster, NAMESPACE, "manta").revisions()[0].state is State.FAILED


def test_another_owner_of_a_field_is_named_and_overruled_on_request(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path], cluster: Cluster
) -> None:
    folder = str(tree())
    run("apply", folder)
    cluster.apply(deployment(replicas=5), manager="keda", force=True)
    done = run("apply", folder)
    assert ".spec.replicas (keda)" in str(done.exception)
    assert "nothing was applied" in str(done.exception)
    assert run("apply", folder, "--force-conflicts").exit_code == 0


def test_kubeconfigs_that_lead_nowhere(tmp_path: Path, tree: Callable[..., Path]) -> None:
    folder = str(tree())
    dead = tmp_path / "dead"
    server = {"cluster": {"server": "http://127.0.0.1:9"}, "name": "c"}
    context = {"context": {"cluster": "c", "user": "u"}, "name": "k"}
    dead.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "k",
                "clusters": [server],
                "contexts": [context],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    broken = tmp_path / "broken"
    broken.write_text("[")
    unsigned = tmp_path / "unsigned"
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such/program", "args": []}
    unsigned.write_text(dead.read_text().replace("user: {}", f"user: {json.dumps({'exec': plugin})}"))
    cases: list[tuple[list[str], type[ClusterError], str]] = [
        (["--kubeconfig", str(tmp_path / "none")], NoCluster, "is not there"),
        (["--kubeconfig", str(unsigned)], NoCluster, "cannot sign in"),
        (["--kubeconfig", str(broken)], NoCluster, "not a kubeconfig"),
        (["--kubeconfig", str(dead), "--context", "other"], NoCluster, "other"),
        (["--kubeconfig", str(dead)], Unreachable, "no API server answers at http://127.0.0.1:9"),
    ]
    for words, kind, said in cases:
        for verb in ("apply", "status", "wait", "rollback", "delete"):
            done = CliRunner().invoke(command, [verb, folder, *words])
            assert isinstance(done.exception, kind), (verb, words, done.exception)
            assert said in str(done.exception)
            assert "\n" not in str(done.exception)


def test_credentials_that_are_not_taken(api: ApiServer, run: Run, tree: Callable[..., Path]) -> None:
    api.token = "wanted"
    assert "does not know these credentials" in str(run("apply", str(tree())).exception)
