"""OpenSearch: in the cluster, or a domain of AWS with signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cluster.render import names
from cluster.render.external_secrets import external_secrets
from cluster.render.opensearch import opensearch
from configs.load import ProfileError

STORE = "knowledge__store"
INSIDE = "http://opensearch.manta-knowledge:9200"
BASIC = {"kind": "basic", "user": "manta", "password": {"env": "MANTA_OPENSEARCH_PASSWORD"}}
DOMAIN = "https://vpc-manta-abc.us-east-1.es.amazonaws.com"


def inside(planned: Callable[..., Any], **changes: Any) -> Any:
    store = {"kind": "opensearch", "url": INSIDE, "auth": BASIC} | changes
    return planned("eks-graviton", knowledge__store=store)


def of_kind(made: Any, kind: str) -> dict[str, Any]:
    (found,) = [one for one in opensearch(*made) if one["kind"] == kind]
    return dict(found)


def test_the_applications_address_is_the_service_that_is_made(planned: Callable[..., Any]) -> None:
    made = inside(planned)
    cluster = of_kind(made, "OpenSearchCluster")
    service, namespace = cluster["spec"]["general"]["serviceName"], cluster["metadata"]["namespace"]
    port = cluster["spec"]["general"]["httpPort"]
    assert f"http://{service}.{namespace}:{port}" == INSIDE
    assert cluster["spec"]["security"]["tls"]["http"]["enabled"] is False


def test_its_user_has_the_password_that_the_application_sends(planned: Callable[..., Any]) -> None:
    made = inside(planned)
    user = of_kind(made, "OpensearchUser")
    assert user["metadata"]["name"] == "manta"
    reference = user["spec"]["passwordFrom"]
    (fetched,) = [one for one in external_secrets(*made) if one["metadata"]["name"] == names.KNOWLEDGE_SECRET]
    assert fetched["metadata"]["namespace"] == user["metadata"]["namespace"]
    assert reference["name"] == fetched["spec"]["target"]["name"]
    assert reference["key"] in {one["secretKey"] for one in fetched["spec"]["data"]}
    binding = of_kind(made, "OpensearchUserRoleBinding")["spec"]
    assert (binding["users"], binding["roles"]) == (
        ["manta"],
        [of_kind(made, "OpensearchRole")["metadata"]["name"]],
    )


def test_its_user_may_do_what_it_likes_with_its_own_indices_only(planned: Callable[..., Any]) -> None:
    role = of_kind(inside(planned, index="handbook"), "OpensearchRole")
    (permission,) = role["spec"]["indexPermissions"]
    assert permission["indexPatterns"] == ["handbook*"]


def test_the_demonstrations_users_are_not_there(planned: Callable[..., Any]) -> None:
    files = of_kind(inside(planned), "ExternalSecret")["spec"]["target"]["template"]["data"]
    documents = {name: yaml.safe_load(text) for name, text in files.items()}
    assert set(documents["internal_users.yml"]) == {"_meta", "admin", "kibanaserver"}
    assert all("hash" not in one for one in documents["internal_users.yml"].values())
    for name, document in documents.items():
        assert document["_meta"]["type"] == name.removesuffix(".yml").replace("_", "")
    cluster = of_kind(inside(planned), "OpenSearchCluster")
    secret = cluster["spec"]["security"]["config"]["securityConfigSecret"]["name"]
    assert secret == of_kind(inside(planned), "ExternalSecret")["spec"]["target"]["name"]


def test_its_volumes_are_of_a_class_that_exists(planned: Callable[..., Any]) -> None:
    made = inside(planned)
    (pool,) = of_kind(made, "OpenSearchCluster")["spec"]["nodePools"]
    assert pool["persistence"]["pvc"]["storageClass"] == of_kind(made, "StorageClass")["metadata"]["name"]
    auto = planned(
        "eks-graviton",
        knowledge__store={"kind": "opensearch", "url": INSIDE, "auth": BASIC},
        cluster__compute="auto-mode",
    )
    assert of_kind(auto, "StorageClass")["provisioner"] == "ebs.csi.eks.amazonaws.com"


def test_half_of_the_memory_is_javas(planned: Callable[..., Any]) -> None:
    (pool,) = of_kind(inside(planned), "OpenSearchCluster")["spec"]["nodePools"]
    assert pool["jvm"] == "-Xms4096M -Xmx4096M"
    assert pool["resources"]["limits"]["memory"] == "8Gi"


@pytest.mark.parametrize(("nodes", "zones"), [(1, 1), (2, 2), (3, 3), (5, 3)])
def test_its_first_nodes_wait_for_a_zone_each(planned: Callable[..., Any], nodes: int, zones: int) -> None:
    made = planned("eks-graviton", cluster__parts__opensearch={"nodes": nodes})
    (pool,) = of_kind(made, "OpenSearchCluster")["spec"]["nodePools"]
    (spread,) = pool["topologySpreadConstraints"]
    assert spread["whenUnsatisfiable"] == "DoNotSchedule"
    assert spread["minDomains"] == zones


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"url": "http://search.example.com:9200"}, "nothing uses it"),
        ({"auth": None}, "by name and password"),
        ({"url": INSIDE.replace("http", "https")}, "ca_file"),
    ],
)
def test_what_cannot_work_is_refused(planned: Callable[..., Any], changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ProfileError, match=told):
        opensearch(*inside(planned, **changes))


def at_aws(planned: Callable[..., Any], **changes: Any) -> Any:
    signed = {"kind": "sigv4", "region": "us-east-1"}
    store = {"kind": "opensearch", "url": DOMAIN, "auth": signed} | changes
    return planned("eks-graviton", knowledge__store=store, cluster__parts__opensearch=None)


def test_a_domain_of_aws_needs_no_objects(planned: Callable[..., Any]) -> None:
    assert opensearch(*at_aws(planned)) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"auth": None}, "sigv4"),
        ({"auth": BASIC}, "sigv4"),
        ({"url": DOMAIN.replace("https", "http")}, "use https"),
    ],
)
def test_a_domain_of_aws_is_signed_and_encrypted(
    planned: Callable[..., Any], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ProfileError, match=told):
        opensearch(*at_aws(planned, **changes))
