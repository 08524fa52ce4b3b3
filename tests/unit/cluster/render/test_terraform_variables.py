"""What Terraform is told of a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.plan import plan
from cluster.render.iam.documents import documents as iam_documents
from cluster.render.terraform import PATH, documents
from configs.load import Profile, ProfileError, read_profile
from configs.schema import SecretSource

PROFILES = Path(__file__).resolve().parents[4] / "configs"


@pytest.fixture(scope="module")
def profile() -> Profile:
    return read_profile(PROFILES / "eks-gpu.yaml")


def variables(profile: Profile, **changes: Any) -> dict[str, Any]:
    """With other settings in the section `cluster`."""
    assert profile.platform.cluster is not None
    cluster = profile.platform.cluster.model_copy(update=changes)
    config = profile.platform.model_copy(update={"cluster": cluster})
    return dict(documents(config, plan(profile))[PATH])


def test_the_cluster_is_the_profiles(profile: Profile) -> None:
    made, cluster = variables(profile), profile.platform.cluster
    assert cluster is not None
    assert (made["name"], made["region"], made["account_id"]) == (
        cluster.name,
        cluster.region,
        cluster.account_id,
    )
    assert made["zones"] == list(cluster.zones)
    assert made["rendered"].endswith(f"/{profile.path.stem}")


def test_roles_are_those_whose_documents_are_rendered(profile: Profile) -> None:
    roles = variables(profile)["roles"]
    rendered = iam_documents(profile.platform, plan(profile))
    assert roles
    for name in roles:
        assert {f"iam/{name}.policy.json", f"iam/{name}.trust.json"} <= set(rendered)


def test_buckets_are_those_that_weights_and_documents_come_from(profile: Profile) -> None:
    assert variables(profile)["buckets"] == ["manta-documents-111122223333", "manta-models-111122223333"]


def test_secrets_are_places_without_values(profile: Profile) -> None:
    made = variables(profile)
    assert profile.platform.cluster is not None
    remotes = {source.remote for source in profile.platform.cluster.secrets.values()}
    assert set(made["secrets"]) == remotes
    assert made["redis_secret"] == {"name": "manta/gpu/redis", "property": "password"}


def test_redis_may_have_no_password(profile: Profile) -> None:
    assert profile.platform.cluster is not None
    redis = profile.platform.cluster.gcs_redis.model_copy(update={"password": None})
    assert variables(profile, gcs_redis=redis)["redis_secret"] is None


def test_a_secret_that_redis_shares_is_refused_because_it_would_be_overwritten(profile: Profile) -> None:
    assert profile.platform.cluster is not None
    secrets = dict(profile.platform.cluster.secrets)
    shared = secrets["MANTA_REDIS_PASSWORD"].remote
    secrets["LITELLM_MASTER_KEY"] = SecretSource(remote=shared, property="master_key")
    with pytest.raises(ProfileError, match=r"has the password of Redis.*LITELLM_MASTER_KEY"):
        variables(profile, secrets=secrets)
