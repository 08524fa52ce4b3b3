"""What the profile's own settings make necessary at AWS, as statements of IAM policies.

Actions and resources: https://docs.aws.amazon.com/service-authorization/latest/reference/; those of inference profiles:
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from cluster.section import cluster_of
from configs.load import ProfileError
from configs.schema import (
    ClusterConfig,
    OpenSearchStoreConfig,
    PlatformConfig,
    S3Source,
    SigV4Auth,
    StoreFolder,
    VllmModel,
)

Statement = dict[str, Any]

_ES_METHODS = ("Delete", "Get", "Head", "Post", "Put")
# Of a name like `us.anthropic.claude-...`: an inference profile, which may send the request to other regions.
_GEOGRAPHIES = frozenset({"us", "us-gov", "eu", "apac", "jp", "au", "ca", "global"})
_REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
# LiteLLM's own words between the provider and the model: which of Bedrock's APIs it should use.
_ROUTES = frozenset({"converse", "invoke", "converse_like"})


def s3(config: PlatformConfig) -> list[Statement]:
    """Reading weights and sources; reading and writing what Neuron has compiled."""
    read = sorted(set(_read_folders(config)))
    written = sorted(set(_written_folders(config)))
    made: list[Statement] = []
    if read:
        made.append(_allow("ReadFolders", ["s3:GetObject"], [f"arn:aws:s3:::{folder}*" for folder in read]))
    if written:
        actions = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
        made.append(_allow("WriteFolders", actions, [f"arn:aws:s3:::{folder}*" for folder in written]))
    prefixes: dict[str, list[str]] = {}  # bucket -> what may be listed in it
    for folder in sorted({*read, *written}):
        bucket, _, prefix = folder.partition("/")
        prefixes.setdefault(bucket, []).append(f"{prefix}*")
    for index, (bucket, patterns) in enumerate(prefixes.items()):
        listed = _allow(f"ListFolders{index}", ["s3:ListBucket"], [f"arn:aws:s3:::{bucket}"])
        made.append(listed | {"Condition": {"StringLike": {"s3:prefix": patterns}}})
    return made


def langfuse_bucket(config: PlatformConfig) -> list[Statement]:
    """Langfuse's events, exports and media, in a bucket of their own."""
    part = cluster_of(config).parts.langfuse
    if part is None:
        return []
    arn = f"arn:aws:s3:::{part.bucket}"
    actions = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    return [_allow("WriteBucket", actions, [f"{arn}/*"]), _allow("ListBucket", ["s3:ListBucket"], [arn])]


def _read_folders(config: PlatformConfig) -> Iterator[str]:
    for model in config.models:
        if isinstance(model, VllmModel) and isinstance(model.weights, StoreFolder):
            weights = model.weights
            if weights.url.startswith("s3://") and weights.endpoint is None and not weights.anonymous:
                yield _folder(weights.url)
    for source in config.knowledge.sources:
        if isinstance(source, S3Source) and _asks_with_a_role(source):
            yield _folder(source.url)


def _asks_with_a_role(source: S3Source) -> bool:
    return source.endpoint is None and source.access_key_id is None and not source.is_public


def _written_folders(config: PlatformConfig) -> Iterator[str]:
    for model in config.models:
        neuron = model.neuron if isinstance(model, VllmModel) else None
        if neuron is not None and (neuron.compile_cache or "").startswith("s3://"):
            yield _folder(str(neuron.compile_cache))


def _folder(url: str) -> str:
    """`bucket/prefix/`, so that a folder's neighbours whose names begin like it are not meant as well."""
    return url.removeprefix("s3://").rstrip("/") + "/"


def opensearch(config: PlatformConfig) -> list[Statement]:
    """Requests to the domain or collection that the store signs for.

    Raises:
        ProfileError: its name cannot be told from its address.
    """
    store = config.knowledge.store
    if not isinstance(store, OpenSearchStoreConfig) or not isinstance(store.auth, SigV4Auth):
        return []
    cluster = cluster_of(config)
    arn = cluster.opensearch_arn or _arn_of(store.url, store.auth, cluster.account_id)
    if store.auth.service == "aoss":
        return [_allow("AskCollection", ["aoss:APIAccessAll"], [arn])]
    return [_allow("AskDomain", [f"es:ESHttp{method}" for method in _ES_METHODS], [f"{arn}/*"])]


def _arn_of(url: str, auth: SigV4Auth, account_id: str) -> str:
    """From an address as AWS makes it: `search-NAME-ID.REGION.es.amazonaws.com`, and `vpc-` in a VPC."""
    host = urlsplit(url).hostname or ""
    first = host.partition(".")[0]
    place = f"{auth.region}:{account_id}"
    if auth.service == "aoss" and host.endswith(".aoss.amazonaws.com"):
        return f"arn:aws:aoss:{place}:collection/{first}"
    named = re.match(r"^(?:search|vpc)-(?P<name>[a-z][a-z0-9-]{2,27})-[a-z0-9]{26}$", first)
    if named is None or auth.service != "es" or not host.endswith(".es.amazonaws.com"):
        raise ProfileError(
            f"knowledge.store.url: {host} is not as AWS names its endpoints, so IAM's resource cannot be told from it; "
            "set cluster.opensearch_arn"
        )
    return f"arn:aws:es:{place}:domain/{named['name']}"


def bedrock(config: PlatformConfig) -> list[Statement]:
    """Calling those models on Amazon Bedrock that LiteLLM has no key for."""
    gateway, cluster = config.litellm, cluster_of(config)
    if gateway is None or cluster.parts.litellm is None:
        return []
    models = [one.model for one in gateway.models if one.model.startswith("bedrock/") and one.api_key is None]
    arns = sorted({arn for model in models for arn in _bedrock_arns(model, cluster)})
    actions = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
    return [_allow("CallModels", actions, arns)] if arns else []


def _bedrock_arns(model: str, cluster: ClusterConfig) -> Iterator[str]:
    parts = [part for part in model.split("/")[1:] if part not in _ROUTES]
    region = cluster.region
    if len(parts) > 1 and _REGION.match(parts[0]):
        region = parts.pop(0)
    name = "/".join(parts)
    geography, _, rest = name.partition(".")
    if name.startswith("arn:"):
        yield name
    elif geography in _GEOGRAPHIES:
        yield f"arn:aws:bedrock:{region}:{cluster.account_id}:inference-profile/{name}"
        yield f"arn:aws:bedrock:*::foundation-model/{rest}"
    else:
        yield f"arn:aws:bedrock:{region}::foundation-model/{name}"


def secrets_manager(config: PlatformConfig) -> list[Statement]:
    """Reading the secrets that `cluster.secrets` names, for the External Secrets Operator."""
    cluster = cluster_of(config)
    place = f"arn:aws:secretsmanager:{cluster.region}:{cluster.account_id}:secret"
    # Secrets Manager adds a hyphen and six characters to a secret's name.
    arns = sorted({f"{place}:{source.remote}-??????" for source in cluster.secrets.values()})
    actions = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    return [_allow("ReadSecrets", actions, arns)] if arns else []


def _allow(sid: str, actions: list[str], resources: list[str]) -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
