"""Values for Langfuse's chart: no secret in them, and names of keys that the chart has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cluster.render import names
from cluster.render.external_secrets import external_secrets
from cluster.render.langfuse import PATH, langfuse
from configs.schema.base import secrets_of

PART = {
    "url": "https://traces.example.com",
    "postgres": "postgres.example.com:5432",
    "redis": "redis.example.com:6379",
    "clickhouse": {"address": "clickhouse.example.com:8123"},
    "bucket": "manta-langfuse",
}
VARIABLES = (
    "LANGFUSE_POSTGRES_PASSWORD",
    "LANGFUSE_REDIS_PASSWORD",
    "LANGFUSE_CLICKHOUSE_PASSWORD",
    "LANGFUSE_SALT",
    "LANGFUSE_ENCRYPTION_KEY",
    "LANGFUSE_SESSION_SECRET",
    "LANGFUSE_PUBLIC_KEY",
    "LANGFUSE_SECRET_KEY",
)


def made(planned: Callable[..., Any], **changes: Any) -> Any:
    secrets = planned("eks-graviton").config.cluster.model_dump(mode="json", exclude_unset=True)["secrets"]
    secrets |= {name: {"remote": f"manta/langfuse/{name.lower()}"} for name in VARIABLES}
    return planned("eks-graviton", cluster__parts__langfuse=PART | changes, cluster__secrets=secrets)


def paths(value: object, at: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from paths(one, f"{at}.{key}")
    else:
        yield at, value


def test_every_secret_is_a_reference_into_the_secret_that_is_fetched(planned: Callable[..., Any]) -> None:
    profile = made(planned)
    (fetched,) = [
        one
        for one in external_secrets(*profile)
        if one["kind"] == "ExternalSecret" and one["metadata"]["name"] == names.OBSERVABILITY_SECRET
    ]
    keys = {one["secretKey"] for one in fetched["spec"]["data"]}
    values = langfuse(*profile)[PATH]
    named = {
        str(value) for path, value in paths(values) if path.endswith(("Key", ".key")) and value in VARIABLES
    }
    assert named <= keys
    assert named == set(VARIABLES) - {
        "LANGFUSE_PUBLIC_KEY",
        "LANGFUSE_SECRET_KEY",
    }  # those are the collector's
    assert secrets_of(profile.cluster.parts.langfuse) == set(VARIABLES)


def test_stores_are_elsewhere(planned: Callable[..., Any]) -> None:
    values = langfuse(*made(planned))[PATH]
    for store in ("postgresql", "redis", "clickhouse", "s3"):
        assert values[store]["deploy"] is False
    assert (values["postgresql"]["host"], values["postgresql"]["port"]) == ("postgres.example.com", 5432)
    assert values["clickhouse"]["httpPort"] == 8123
    # Signed by the pods' role: keys would be secrets that nobody needs.
    assert "accessKeyId" not in values["s3"]


def test_the_user_is_a_number(planned: Callable[..., Any]) -> None:
    """The images name theirs, and of a name the kubelet cannot tell that it is not root."""
    context = langfuse(*made(planned))[PATH]["langfuse"]["podSecurityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0


def test_clickhouse_is_the_charts_where_no_other_is_named(planned: Callable[..., Any]) -> None:
    values = langfuse(*made(planned, clickhouse=None))[PATH]
    assert values["clickhouse"]["deploy"] is True


def test_left_out_there_is_no_file(planned: Callable[..., Any]) -> None:
    assert langfuse(*planned("eks-graviton")) == {}
