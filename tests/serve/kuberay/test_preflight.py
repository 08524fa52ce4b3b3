"""The cluster's side of the preflight, and registries, over sockets."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from apiserver.server import ApiServer
from click.testing import CliRunner

from cluster.preflight.images import check_images
from cluster.preflight.in_cluster import check_cluster
from kuberay.cluster import Cluster
from manta.commands.cluster import command

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@pytest.fixture
def registry() -> Iterator[str]:
    """A registry with one image, behind anonymous tokens; HOST:PORT."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            _, _, _, name, _, version = self.path.split("/", 5) if self.path.count("/") >= 5 else [""] * 6
            host = self.headers["host"]
            if name == "open":
                self._end(200, {"docker-content-digest": DIGEST})
            elif name == "closed":
                self._end(401, {"www-authenticate": 'Basic realm="x"'})
            elif self.headers.get("authorization") != "Bearer for-manta":
                challenge = (
                    f'Bearer realm="http://{host}/token",service="here",scope="repository:manta/{name}:pull"'
                )
                self._end(401, {"www-authenticate": challenge})
            elif version == DIGEST:
                self._end(200, {"docker-content-digest": DIGEST})
            else:
                self._end(404, {})

        def do_GET(self) -> None:
            body = b'{"token": "for-manta"}' if "service=here" in self.path else b"{}"
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _end(self, code: int, headers: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_images_by_digest(registry: str, free_port: Callable[[], int]) -> None:
    cases = {
        f"{registry}/manta/cpu:1@{DIGEST}": ("ok", f"at {registry}"),
        f"{registry}/manta/cpu:1@{OTHER}": ("bad", f"has no manta/cpu {OTHER}"),
        f"{registry}/manta/open:1@{OTHER}": ("bad", f"gives {DIGEST}"),
        f"{registry}/manta/open:1": ("warn", "not pinned"),
        f"{registry}/manta/closed:1@{DIGEST}": ("warn", "imagePullSecret"),
        f"127.0.0.1:{free_port()}/manta/cpu@{DIGEST}": ("bad", "cannot be reached"),
    }
    for finding, (state, said) in zip(check_images(cases, None), cases.values(), strict=True):
        assert (finding.state, said in finding.text) == (state, True), finding


def operator_pod(name: str, image: str, available: int = 1) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"app.kubernetes.io/name": name}},
        "spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}},
        "status": {"availableReplicas": available},
    }  # fmt: skip


def test_kinds_operators_and_secrets(
    api: ApiServer, cluster: Cluster, document: Callable[..., dict[str, Any]]
) -> None:
    service = document()
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    head["containers"][0]["envFrom"] = [{"secretRef": {"name": name}} for name in ("there", "gone")]
    pool = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "gpu"}}
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "there", "namespace": "default"}})

    def look() -> dict[str, tuple[str, str]]:
        return {one.subject: (one.state, one.text) for one in check_cluster(cluster, [service, pool])}

    found = look()
    assert found["Kubernetes"][0] == "ok"
    assert found["ray.io/v1"] == ("ok", "RayService")
    assert found["karpenter.sh/v1"][0] == "bad"
    assert "no NodePool: install Karpenter" in found["karpenter.sh/v1"][1]
    assert found["kuberay-operator"][0] == "bad"
    assert found["default/there"][0] == "ok"
    assert found["default/gone"] == ("bad", "RayService manta refers to it, and nothing makes it")

    for image, available, state, said in (
        ("quay.io/kuberay/operator:v1.7.0", 1, "ok", "v1.7.0"),
        ("quay.io/kuberay/operator:v1.6.1", 1, "bad", "1.7 or later"),
        ("quay.io/kuberay/operator:v1.7.0", 0, "bad", "no pod that is available"),
        (f"quay.io/kuberay/operator@{DIGEST}", 1, "ok", "kube-system/kuberay-operator runs"),
    ):
        api.put(operator_pod("kuberay-operator", image, available))
        assert look()["kuberay-operator"][0] == state
        assert said in look()["kuberay-operator"][1]


def test_operators_by_whichever_way_they_came(
    api: ApiServer, cluster: Cluster, document: Callable[..., dict[str, Any]]
) -> None:
    by_kustomization = operator_pod("kuberay", "quay.io/kuberay/operator:v1.7.1")
    api.put(by_kustomization)
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"}, "spec": {}}
    found = {one.subject: one for one in check_cluster(cluster, [document(), ingress])}
    assert found["kuberay-operator"].state == "ok"
    assert "v1.7.1" in found["kuberay-operator"].text
    assert found["aws-load-balancer-controller"].state == "bad"
    node_class = {"apiVersion": "eks.amazonaws.com/v1", "kind": "NodeClass", "metadata": {"name": "a"}}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"}}
    (place,) = [
        one for one in check_cluster(cluster, [document(), policy]) if one.subject.endswith("namespace")
    ]
    assert (place.state, place.text[:20]) == ("warn", "runs in kube-system;")
    assert "kuberay-operator's namespace" not in found
    auto_mode = {one.subject for one in check_cluster(cluster, [document(), ingress, node_class])}
    assert "aws-load-balancer-controller" not in auto_mode


def test_keys_in_secrets_by_name(
    api: ApiServer, cluster: Cluster, document: Callable[..., dict[str, Any]]
) -> None:
    service = document()
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    head["containers"][0]["env"] = [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": "settings", "key": key}}} for key in ("A", "B")
    ]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "settings", "namespace": "default"}}

    def look() -> tuple[str, str]:
        (found,) = [one for one in check_cluster(cluster, [service]) if one.subject == "default/settings"]
        return found.state, found.text

    api.put(secret | {"data": {"A": "YQ=="}})
    assert look() == ("bad", "RayService manta refers to it, and it has no key B")
    api.put(secret | {"data": {"A": "YQ==", "B": "Yg=="}})
    assert look() == ("ok", "RayService manta refers to it")


def test_the_command_as_one_table(repository: Path, kubeconfig: Path) -> None:
    words = ["preflight", str(repository / "configs" / "eks-graviton.yaml"), "--no-aws"]
    done = CliRunner().invoke(command, [*words, "--kubeconfig", str(kubeconfig)], standalone_mode=False)
    assert done.return_value == 1, done.exception
    assert "install Karpenter" in " ".join(done.stdout.split())
    nowhere = CliRunner().invoke(
        command, [*words, "--kubeconfig", "/nowhere", "--json"], standalone_mode=False
    )
    assert nowhere.return_value == 1
    (cluster,) = [one for one in json.loads(nowhere.stdout) if one["area"] == "cluster"]
    assert (cluster["state"], cluster["text"]) == ("bad", "no cluster: the kubeconfig /nowhere is not there")
