from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cluster.render import names
from cluster.render.external_secrets import external_secrets, of_application, of_gateway
from configs.load import ProfileError


def _secrets(each: Any) -> dict[str, dict[str, Any]]:
    return {
        one["metadata"]["name"]: one for one in external_secrets(*each) if one["kind"] == "ExternalSecret"
    }


def _variables(secret: dict[str, Any]) -> set[str]:
    return {one["secretKey"] for one in secret["spec"]["data"]}


def test_each_secret_has_what_its_pods_name_and_no_more(planned: Callable[..., Any]) -> None:
    each = planned("eks-gpu")
    made = _secrets(each)
    application, gateway = made[names.APPLICATION_SECRET], made[names.GATEWAY_SECRET]
    assert _variables(application) == set(of_application(each.config))
    assert _variables(gateway) == set(of_gateway(each.config))
    assert "LITELLM_MASTER_KEY" not in _variables(application)
    assert application["metadata"]["namespace"] == "manta"
    assert gateway["metadata"]["namespace"] == "manta-gateway"


def test_the_proxy_gets_the_secret_that_it_proves_itself_by(planned: Callable[..., Any]) -> None:
    assert "MANTA_GATEWAY_SECRET" in of_gateway(planned("eks-gpu").config)


def test_the_password_of_the_heads_redis_is_among_the_applications(planned: Callable[..., Any]) -> None:
    each = planned(
        "eks-gpu",
        cluster__gcs_redis={"address": "other.example.com:6379", "password": {"env": "GCS_PASSWORD"}},
        cluster__secrets__GCS_PASSWORD={"remote": "manta/gcs"},
    )
    assert "GCS_PASSWORD" in _variables(_secrets(each)[names.APPLICATION_SECRET])


def test_each_secret_finds_its_store_beside_it(each: Any) -> None:
    made = external_secrets(*each)
    stores = {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in made
        if one["kind"] == "SecretStore"
    }
    for secret in _secrets(each).values():
        assert (secret["metadata"]["namespace"], secret["spec"]["secretStoreRef"]["name"]) in stores


def test_only_references_are_rendered(each: Any) -> None:
    for secret in _secrets(each).values():
        for one in secret["spec"]["data"]:
            assert set(one) == {"secretKey", "remoteRef"}
            assert set(one["remoteRef"]) <= {"key", "property"}
            assert one["remoteRef"]["key"] == each.cluster.secrets[one["secretKey"]].remote
    assert "stringData" not in json.dumps(external_secrets(*each))


def test_a_secret_that_is_nowhere_is_refused_by_name(planned: Callable[..., Any]) -> None:
    with pytest.raises(ProfileError, match=r"LITELLM_MASTER_KEY"):
        planned("eks-gpu", cluster__secrets={"MANTA_GATEWAY_SECRET": {"remote": "manta/gateway"}})
