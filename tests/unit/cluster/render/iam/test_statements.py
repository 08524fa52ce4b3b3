from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cluster.render.iam.statements import bedrock, opensearch, s3
from configs.load import ProfileError


def _by_sid(statements: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in statements}


def test_weights_and_sources_are_read_and_their_neighbours_are_not(planned: Callable[..., Any]) -> None:
    made = _by_sid(s3(planned("eks-gpu").config))
    assert made["ReadFolders"]["Action"] == ["s3:GetObject"]
    assert "arn:aws:s3:::manta-models-111122223333/qwen3-8b/*" in made["ReadFolders"]["Resource"]
    (listing,) = [
        one for one in made.values() if one["Resource"] == ["arn:aws:s3:::manta-models-111122223333"]
    ]
    assert listing["Action"] == ["s3:ListBucket"]
    assert listing["Condition"]["StringLike"]["s3:prefix"] == ["qwen3-32b/*", "qwen3-8b/*"]


def test_what_neuron_compiles_is_written(planned: Callable[..., Any]) -> None:
    models = planned("eks-neuron").config.model_dump(mode="json", exclude_unset=True)["models"]
    models[0]["neuron"]["compile_cache"] = "s3://manta-compiled/neuron"
    made = _by_sid(s3(planned("eks-neuron", models=models).config))
    assert made["WriteFolders"]["Resource"] == ["arn:aws:s3:::manta-compiled/neuron/*"]
    assert "s3:PutObject" in made["WriteFolders"]["Action"]
    assert all("manta-compiled" not in arn for arn in made["ReadFolders"]["Resource"])


def test_who_has_keys_or_needs_none_gets_no_role_for_it(planned: Callable[..., Any]) -> None:
    key = {"env": "MANTA_REDIS_PASSWORD"}
    sources = [
        {"kind": "s3", "name": "a", "url": "s3://with-keys", "access_key_id": key, "secret_access_key": key},
        {"kind": "s3", "name": "b", "url": "s3://public", "is_public": True},
        {"kind": "s3", "name": "c", "url": "s3://elsewhere", "endpoint": "https://minio.example.com"},
    ]
    made = s3(planned("eks-gpu", knowledge__sources=sources).config)
    named = [arn for one in made for arn in one["Resource"]]
    assert all("manta-models" in arn for arn in named)


def _store(url: str, service: str = "es") -> dict[str, Any]:
    return {
        "kind": "opensearch",
        "url": url,
        "auth": {"kind": "sigv4", "region": "us-east-1", "service": service},
    }


@pytest.mark.parametrize(
    ("url", "service", "resource"),
    [
        (
            "https://vpc-my-docs-abcdefghijklmnopqrstuvwxyz.us-east-1.es.amazonaws.com",
            "es",
            "arn:aws:es:us-east-1:111122223333:domain/my-docs/*",
        ),
        (
            "https://search-docs-abcdefghijklmnopqrstuvwxy2.us-east-1.es.amazonaws.com",
            "es",
            "arn:aws:es:us-east-1:111122223333:domain/docs/*",
        ),
        (
            "https://abc123def456.us-east-1.aoss.amazonaws.com",
            "aoss",
            "arn:aws:aoss:us-east-1:111122223333:collection/abc123def456",
        ),
    ],
)
def test_the_domain_is_told_from_its_address(
    planned: Callable[..., Any], url: str, service: str, resource: str
) -> None:
    (made,) = opensearch(planned("eks-gpu", knowledge__store=_store(url, service)).config)
    assert made["Resource"] == [resource]
    assert all(action.startswith(("es:ESHttp", "aoss:APIAccessAll")) for action in made["Action"])


def test_an_address_of_ones_own_needs_the_arn(planned: Callable[..., Any]) -> None:
    store = _store("https://search.example.com")
    with pytest.raises(ProfileError, match=r"set cluster\.opensearch_arn"):
        opensearch(planned("eks-gpu", knowledge__store=store).config)
    arn = "arn:aws:es:us-east-1:111122223333:domain/docs"
    each = planned("eks-gpu", knowledge__store=store, cluster__opensearch_arn=arn)
    assert opensearch(each.config)[0]["Resource"] == [f"{arn}/*"]


def test_a_store_with_a_password_needs_no_role(planned: Callable[..., Any]) -> None:
    assert opensearch(planned("eks-graviton").config) == []


@pytest.mark.parametrize(
    ("model", "arns"),
    [
        (
            "bedrock/anthropic.claude-sonnet",
            ["arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet"],
        ),
        (
            "bedrock/converse/amazon.nova-pro-v1:0",
            ["arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"],
        ),
        (
            "bedrock/eu-west-1/amazon.nova-pro-v1:0",
            ["arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0"],
        ),
        (
            "bedrock/us.anthropic.claude-sonnet",
            [
                "arn:aws:bedrock:*::foundation-model/anthropic.claude-sonnet",
                "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.anthropic.claude-sonnet",
            ],
        ),
        (
            "bedrock/arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc",
            ["arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc"],
        ),
    ],
)
def test_bedrock_is_asked_for_the_models_that_are_named(
    planned: Callable[..., Any], model: str, arns: list[str]
) -> None:
    each = planned("eks-gpu", litellm__models=[{"name": "other", "model": model}])
    (made,) = bedrock(each.config)
    assert made["Resource"] == arns
    assert made["Action"] == ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]


def test_other_providers_need_no_role(planned: Callable[..., Any]) -> None:
    other = {"name": "other", "model": "openai/gpt", "api_key": {"env": "MANTA_REDIS_PASSWORD"}}
    assert bedrock(planned("eks-gpu", litellm__models=[other]).config) == []
