"""The front door's rules: who is let in, how much each may use, what it costs, what is written down about it.

Everything here is off by default: a laptop's application is open, and listens on loopback only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from configs.schema.base import Name, SecretRef, Strict, Url

RoleName = Literal["user", "operator", "admin"]
RedisUrl = Annotated[str, StringConstraints(pattern=r"^rediss?://[^\s@]+$")]
# Asymmetric ones only: with HMAC among them, a public key could be used as a secret (RFC 8725, 3.1).
TokenAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]


class RedisConfig(Strict):
    """The Redis that replicas of the ingress share."""

    url: RedisUrl = Field(description="`redis://HOST:PORT/DB`, or `rediss://` for TLS; without a password.")
    username: str | None = Field(default=None, description="User of its access control list.")
    password: SecretRef | None = Field(default=None, description="Its password.")
    timeout_s: float = Field(
        default=0.25, gt=0, le=5, description="Seconds for an answer, after which Redis counts as gone."
    )
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:_-]{1,64}$")] = Field(
        default="manta", description="What every name in Redis begins with."
    )


class KeysConfig(Strict):
    """API keys, as `manta keys` makes them."""

    store: Literal["embedded", "redis"] = Field(
        default="embedded",
        description="`embedded`: a file below `home`, for an application on one machine. `redis`: shared by all.",
    )
    poll_s: float = Field(
        default=1.0,
        ge=0.1,
        le=4.0,
        description="Seconds between two looks at what changed: a revoked key is refused after that long.",
    )
    max_stale_s: float = Field(
        default=86_400.0,
        gt=0,
        description="Seconds for which keys that are known stay good while the store cannot be read.",
    )


class OidcConfig(Strict):
    """Tokens (JWT) of one issuer."""

    issuer: Url = Field(
        description="What `iss` says; `/.well-known/openid-configuration` below it says the rest."
    )
    audience: str = Field(min_length=1, description="What `aud` must hold: this application.")
    jwks_url: Url | None = Field(
        default=None, description="Where the issuer's public keys are; None: asked by discovery."
    )
    algorithms: tuple[TokenAlgorithm, ...] = Field(
        default=("RS256", "ES256"), min_length=1, description="Signatures that are accepted."
    )
    leeway_s: float = Field(
        default=30.0, ge=0, le=300, description="Seconds by which the issuer's clock and ours may differ."
    )
    tenant_claim: str = Field(
        default="tenant", description="The claim with the tenant's name; dots go down into objects."
    )
    role_claim: str = Field(
        default="roles", description="The claim with the role, or a list of them; dots go down into objects."
    )
    roles: dict[str, RoleName] = Field(
        default={"operator": "operator", "admin": "admin"},
        description="What the claim says -> role here; the highest counts, and `user` where none does.",
    )
    refresh_s: float = Field(
        default=3600.0, ge=60, description="Seconds after which the public keys are fetched again."
    )
    min_refresh_s: float = Field(
        default=10.0,
        ge=1,
        description="Least seconds between two fetches, however many tokens name a key that is not known.",
    )
    max_stale_s: float = Field(
        default=86_400.0,
        gt=0,
        description="Seconds for which fetched keys stay good while the issuer cannot be reached.",
    )


class GatewayConfig(Strict):
    """A gateway in front (LiteLLM, for example) that has checked who asks."""

    secret: SecretRef = Field(
        description="What the gateway sends as `x-manta-gateway`; only then its `x-manta-tenant` counts."
    )
    previous_secret: SecretRef | None = Field(
        default=None, description="Accepted as well, while the secret is changed."
    )


class AuthenticationConfig(Strict):
    """Ways to say who one is. Without any the application is open, and listens on loopback only."""

    keys: KeysConfig | None = Field(default=None, description="API keys; None: none are accepted.")
    oidc: tuple[OidcConfig, ...] = Field(default=(), description="Issuers whose tokens are accepted.")
    gateway: GatewayConfig | None = Field(default=None, description="A gateway in front that is trusted.")

    @property
    def is_on(self) -> bool:
        return self.keys is not None or bool(self.oidc) or self.gateway is not None

    @model_validator(mode="after")
    def _issuers(self) -> AuthenticationConfig:
        issuers = [one.issuer for one in self.oidc]
        for issuer in issuers:
            if issuers.count(issuer) > 1:
                raise ValueError(f"the issuer {issuer} is given twice")
        return self


class LimitsConfig(Strict):
    """Most that may be used. What is None has no limit."""

    requests_per_min: float | None = Field(default=None, gt=0, description="Requests a minute.")
    burst_requests: int | None = Field(
        default=None, ge=1, description="Requests at once after a pause; None: those of 10 seconds."
    )
    tokens_per_min: float | None = Field(
        default=None, gt=0, description="Tokens a minute, of prompts and answers together."
    )
    burst_tokens: int | None = Field(
        default=None, ge=1, description="Tokens at once after a pause; None: those of a minute."
    )
    max_concurrent: int | None = Field(
        default=None, ge=1, description="Requests under way at once, streams among them."
    )
    usd_per_day: float | None = Field(default=None, ge=0, description="Money in a day (UTC), by `prices`.")
    usd_per_month: float | None = Field(
        default=None, ge=0, description="Money in a calendar month (UTC), by `prices`."
    )


class TenantConfig(Strict):
    """What one tenant may use."""

    name: Name = Field(description="The tenant.")
    limits: LimitsConfig = Field(default=LimitsConfig(), description="Of all its requests together.")
    weight: float = Field(
        default=1.0, gt=0, description="Its share of engines that are full, against the others' weights."
    )
    models: dict[str, LimitsConfig] = Field(
        default={}, description="Of its requests to one model: the model's name -> limits."
    )


class PriceConfig(Strict):
    """What a model's tokens cost."""

    usd_per_million_prompt_tokens: float = Field(default=0.0, ge=0, description="Tokens that are read.")
    usd_per_million_answer_tokens: float = Field(default=0.0, ge=0, description="Tokens that are written.")


class AuditConfig(Strict):
    """A line of JSON for each decision: who asked what, and what came of it. Never what was said."""

    folder: str | None = Field(default=None, description="Where it is written; None: `audit` below `home`.")
    max_file_bytes: int = Field(
        default=16 * 1024 * 1024, ge=4096, description="Size at which a new file is begun."
    )
    num_files: int = Field(default=8, ge=1, description="Files that each replica keeps; older ones go.")
    max_unknown_per_s: float = Field(
        default=20.0,
        gt=0,
        description="Lines a second about requests of nobody known; the others are counted in the next line.",
    )


class DoorConfig(Strict):
    """The front door."""

    authentication: AuthenticationConfig = Field(default=AuthenticationConfig(), description="Who is let in.")
    redis: RedisConfig | None = Field(
        default=None,
        description="Where limits are counted; None: inside the one replica of the ingress.",
    )
    key_limits: LimitsConfig = Field(
        default=LimitsConfig(),
        description="Of each API key, or each subject of a token, that has none of its own.",
    )
    tenant_limits: LimitsConfig = Field(
        default=LimitsConfig(), description="Of each tenant that is not in `tenants`."
    )
    model_limits: dict[str, LimitsConfig] = Field(
        default={}, description="Of all requests to one model: the model's name -> limits."
    )
    tenants: tuple[TenantConfig, ...] = Field(default=(), description="Tenants with limits of their own.")
    prices: dict[str, PriceConfig] = Field(
        default={}, description="The model's name -> what it costs; a model that is not here is free."
    )
    default_answer_tokens: int = Field(
        default=256,
        ge=1,
        description="Tokens that are reserved for the answer of a request that sets no maximum, until its end "
        "shows what it took.",
    )
    counts_usage: bool = Field(
        default=False, description="Count usage for `/v1/usage` where nothing is limited either."
    )
    fair_shares: bool = Field(
        default=False,
        description="When an engine is full, tenants wait by turns, by `weight` and by what they have had of its "
        "slots; else first come, first served.",
    )
    audit: AuditConfig | None = Field(default=None, description="The audit log; None: none is written.")

    @property
    def is_counting(self) -> bool:
        """Whether anything needs to know what requests take."""
        every = [self.key_limits, self.tenant_limits, *self.model_limits.values()]
        every += [limits for one in self.tenants for limits in (one.limits, *one.models.values())]
        is_limited = any(limits != LimitsConfig() for limits in every)
        return (
            self.counts_usage or is_limited or self.redis is not None or self.authentication.keys is not None
        )

    @property
    def is_closed(self) -> bool:
        """Whether there is anything to do at the door at all."""
        return self.authentication.is_on or self.is_counting or self.audit is not None or self.fair_shares

    @model_validator(mode="after")
    def _consistent(self) -> DoorConfig:
        keys = self.authentication.keys
        if keys is not None and keys.store == "redis" and self.redis is None:
            raise ValueError("authentication.keys.store is redis, and there is no door.redis")
        names = [tenant.name for tenant in self.tenants]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the tenant {name!r} is given twice")
        return self
