"""Rendered trees in a cluster, by the commands that people run: applied in their order, deleted in the opposite one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from apiserver.kinds import KARPENTER, Kind
from apiserver.operator import RUNNING, Operator, application
from apiserver.server import ApiServer, Fault
from applied import DENIED, NAMESPACE, Make, Run, named
from click.testing import CliRunner

from cluster.lifecycle.applying import Options, apply_tree
from cluster.lifecycle.tree import read_tree
from kuberay.cluster import Cluster
from kuberay.errors import (
    ClusterError,
    KindMissing,
    NoCluster,
    Unreachable,
)
from kuberay.history import History, State
from kuberay.objects import ref_of
from kuberay.patience import Patience
from manta.commands.cluster import command


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
    assert api.all("ControllerRevision") == []
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
    assert api.get("Deployment", NAMESPACE, "litellm") is not None  # the kind before it, in the same wave
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


def test_a_cluster_without_kuberay_is_told_so_before_anything(
    api: ApiServer, run: Run, tree: Callable[..., Path]
) -> None:
    api.kinds[:] = [kind for kind in api.kinds if kind.group != "ray.io"]
    done = run("apply", str(tree()))
    assert isinstance(done.exception, KindMissing)
    assert "RayService (ray.io/v1): install the KubeRay operator" in str(done.exception)
    assert api.get("Namespace", "", NAMESPACE) is None
    dry = run("apply", str(tree()), "--skip-missing-kinds", "--dry-run", "server")
    said = (
        "left out: the cluster has no kind RayService (ray.io/v1), which the KubeRay operator "
        "(helm chart kuberay-operator, 1.7 or later) brings: RayService manta/manta"
    )
    assert f"not checked: {said}" in " ".join(dry.stdout.split())
    left_out = run("apply", str(tree()), "--skip-missing-kinds", "--no-wait")
    assert left_out.exit_code == 0, left_out.output
    assert said in " ".join(left_out.stderr.split())
    assert "; 1 were left out" in left_out.stderr
    assert api.get("ConfigMap", NAMESPACE, "settings") is not None


def test_a_cluster_that_knows_nothing_of_a_tree_is_left_alone(
    api: ApiServer, run: Run, tmp_path: Path, document: Make
) -> None:
    api.kinds[:] = [kind for kind in api.kinds if kind.group != "ray.io"]
    alone = tmp_path / "service.yaml"
    alone.write_text(yaml.safe_dump(document()))
    done = run("apply", str(alone), "--skip-missing-kinds")
    assert isinstance(done.exception, KindMissing)
    assert "has none of the kinds in" in str(done.exception)
    assert api.all("ConfigMap") == []


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
    message = 'deployments.apps "litellm" is forbidden: User "me" cannot patch resource "deployments"'
    api.faults.append(
        Fault("403", method="PATCH", path="deployments/litellm", after=1, reason="Forbidden", message=message)
    )
    done = run("apply", str(tree()))
    assert "4 of 6 objects were applied, up to wave 06-entrance" in str(done.exception)
    assert "forbidden" in str(done.exception)
    (noted,) = api.all("ControllerRevision")
    assert noted["metadata"]["annotations"]["manta.dev/state"] == "failed"


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


def test_what_is_still_being_deleted_is_applied_when_it_is_gone(
    api: ApiServer, operator: Operator, cluster: Cluster, tree: Callable[..., Path], soon: Patience
) -> None:
    """The namespace and what is in it, as after a delete that nobody waited for."""
    options = Options(patience=soon)
    apply_tree(cluster, read_tree(tree()), options, print)
    former = api.get("Namespace", "", NAMESPACE)
    assert former is not None
    hold = {"finalizers": ["example.com/hold"]}
    key = api.key("Namespace", "", NAMESPACE)
    api.store.change(key, lambda one: one["metadata"].update(hold))
    cluster.delete(ref_of(former))
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if "is still being deleted, held by example.com/hold; it is applied when it is gone" in line:
            api.store.change(key, lambda one: one["metadata"].update(finalizers=[]))

    outcome = apply_tree(cluster, read_tree(tree()), options, tell)
    assert any("Namespace manta is still being deleted" in line for line in told)
    now = api.get("Namespace", "", NAMESPACE)
    assert now is not None
    assert now["metadata"]["uid"] != former["metadata"]["uid"]
    assert {one.outcome for one in outcome.applied if one.ref.kind == "RayService"} == {"created"}


def test_a_service_without_a_namespace_is_that_of_default(
    api: ApiServer, operator: Operator, run: Run, tmp_path: Path, document: Make
) -> None:
    service = document()
    del service["metadata"]["namespace"]
    file = tmp_path / "service.yaml"
    file.write_text(yaml.safe_dump(service))
    done = run("apply", str(file))
    assert done.exit_code == 0, done.output
    assert "default/manta serves: revision 1" in done.stdout
    assert api.asked("GET", "^/apis/ray.io/v1/rayclusters") == 0
    assert run("delete", str(file), "--yes").exit_code == 0
    assert api.asked("GET", "^/apis/ray.io/v1/rayclusters") == 0
    assert api.all("RayService") == api.all("RayCluster") == []


def test_a_kind_that_the_tree_brings_is_waited_for_however_late_it_is_served(
    api: ApiServer, operator: Operator, cluster: Cluster, tree: Callable[..., Path], soon: Patience
) -> None:
    names = {"kind": "Lamp", "plural": "lamps"}
    definition = named(
        "CustomResourceDefinition", "lamps.example.com", "apiextensions.k8s.io/v1", namespace="",
        spec={"group": "example.com", "names": names, "versions": [{"name": "v1"}]},
    )  # fmt: skip
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if "waiting until the cluster serves Lamp (example.com/v1)" in line:
            api.kinds.append(Kind("example.com", "v1", "Lamp", "lamps"))
            established = [{"type": "Established", "status": "True"}]
            key = api.key("CustomResourceDefinition", "", "lamps.example.com")
            api.store.change(key, lambda one: one.update(status={"conditions": established}))

    lamp = named("Lamp", "red", "example.com/v1")
    outcome = apply_tree(cluster, read_tree(tree(more=(lamp, definition))), Options(patience=soon), tell)
    assert any("Lamp manta/red: its kind is made by the tree itself" in line for line in told)
    assert [str(one.ref) for one in outcome.applied if one.ref.api_version == "example.com/v1"] == [
        "Lamp manta/red"
    ]


def test_a_part_is_not_applied_into_a_namespace_that_ends(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path], cluster: Cluster
) -> None:
    folder = tree()
    assert run("apply", str(folder)).exit_code == 0
    hold = {"finalizers": ["example.com/hold"]}
    api.store.change(api.key("Namespace", "", NAMESPACE), lambda one: one["metadata"].update(hold))
    namespace = api.get("Namespace", "", NAMESPACE)
    assert namespace is not None
    cluster.delete(ref_of(namespace))
    (folder / "06-entrance" / "objects.yaml").write_text(yaml.safe_dump(named("Secret", "new")))
    done = run("apply", str(folder / "06-entrance"))
    assert "nothing was applied: cannot apply Secret manta/new" in str(done.exception)
    assert "it is being terminated" in str(done.exception)


def test_what_a_namespace_waits_for_is_told(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    folder = str(tree())
    assert run("apply", folder).exit_code == 0
    said = {
        "type": "NamespaceFinalizersRemaining",
        "status": "True",
        "message": "example.com/hold in 1 resource",
    }
    api.store.change(
        api.key("Namespace", "", NAMESPACE),
        lambda one: (one["metadata"].update(finalizers=["held"]), one.update(status={"conditions": [said]})),
    )
    done = run("delete", folder, "--yes", "--data", "--timeout", "2")
    assert "Namespace manta, held by held: example.com/hold in 1 resource" in str(done.exception)


def test_a_deletion_that_is_refused_says_what_was_deleted_by_then(
    api: ApiServer, operator: Operator, run: Run, tree: Callable[..., Path]
) -> None:
    folder = str(tree())
    assert run("apply", folder).exit_code == 0
    api.faults.append(Fault("403", method="DELETE", path="deployments/", reason="Forbidden", message=DENIED))
    done = run("delete", folder, "--yes")
    assert f"{DENIED}; 1 objects or more were deleted by then" in str(done.exception)
