"""The LiteLLM proxy in front of the application: one address for Manta's models and others'."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from configs.schema.base import Name, SecretRef, Strict, Url

Callback = Literal["langfuse", "otel", "prometheus"]
# "bedrock/anthropic.claude-...": the provider's name, a slash, the provider's own name of the model.
ProviderModel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+/\S+$")]


class OtherModel(Strict):
    """A model that LiteLLM calls itself, past the application: on Amazon Bedrock, for example."""

    name: Name = Field(description="What clients call it.")
    model: ProviderModel = Field(description="LiteLLM's provider, a slash, and the provider's name for it.")
    kind: Literal["chat", "embedding", "rerank"] = Field(default="chat", description="What it does.")
    api_base: Url | None = Field(default=None, description="The provider's address, where it needs one.")
    api_key: SecretRef | None = Field(
        default=None, description="The provider's key; None: the provider's own environment or role."
    )
    params: dict[str, Any] = Field(
        default={},
        description="More of LiteLLM's `litellm_params`; keys that LiteLLM does not know are refused.",
    )


class LiteLLMConfig(Strict):
    """What `manta gateway render` writes for LiteLLM, and `manta gateway run` starts."""

    upstream: Url | None = Field(
        default=None, description="The application's address; None: where the profile says that it listens."
    )
    port: int = Field(default=4000, ge=1, le=65535, description="Port of the proxy.")
    num_workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes. What one passes: `python -m benchmarks frontdoor --parts gateway`.",
    )
    master_key: SecretRef = Field(description="The proxy's administrator, and a client until there are keys.")
    upstream_key: SecretRef | None = Field(
        default=None,
        description="An API key of the application for all that the proxy asks. Not needed where "
        "`door.authentication.gateway` is set: then the proxy proves itself and speaks for each key's own tenant.",
    )
    database: SecretRef | None = Field(
        default=None,
        description="URL of a Postgres: virtual keys, teams, budgets. None: only the master key.",
    )
    callbacks: tuple[Callback, ...] = Field(default=(), description="Whom the proxy tells of each request.")
    models: tuple[OtherModel, ...] = Field(default=(), description="Models besides the application's.")
    litellm_settings: dict[str, Any] = Field(
        default={}, description="More of LiteLLM's section of that name."
    )
    general_settings: dict[str, Any] = Field(
        default={}, description="More of LiteLLM's section of that name."
    )
    router_settings: dict[str, Any] = Field(default={}, description="More of LiteLLM's section of that name.")
