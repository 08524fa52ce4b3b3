"""Sources of the knowledge base: where documents come from that nobody has to send."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from configs.schema.base import Name, SecretRef, Strict, Url

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Host = Annotated[str, StringConstraints(pattern=r"^(\*\.)?[A-Za-z0-9.:\[\]-]{1,253}$")]
_S3_URL = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$"


class _Source(Strict):
    """What every source says."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="What the base calls it: `source` in filters and citations. Unique for a tenant."
    )
    tenant: Name = Field(default="default", description="Whose knowledge base it belongs to.")
    include: tuple[Pattern, ...] = Field(
        default=(),
        description="Globs of paths inside the source (`*`, `?`, `[...]` inside a name, `**` across folders) of "
        "which one must match; empty: every format that is read.",
    )
    exclude: tuple[Pattern, ...] = Field(default=(), description="Globs of paths that are left out.")
    metadata: dict[str, str] = Field(
        default={}, description="Kept with every passage; searches can filter by it."
    )
    max_removed_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the source's documents that one sync may remove. One that would remove more, or all, "
        "stops and removes nothing; 1 lets everything go.",
    )


class FolderSource(_Source):
    """A folder of this machine, or of a volume that every replica sees."""

    kind: Literal["folder"]
    path: str = Field(min_length=1, description="The folder; a relative one is inside `home`.")


class S3Source(_Source):
    """A bucket's prefix in S3, or in a store that speaks its protocol."""

    kind: Literal["s3"]
    url: Annotated[str, StringConstraints(pattern=_S3_URL)] = Field(
        description="s3://bucket or s3://bucket/prefix/."
    )
    region: str | None = Field(
        default=None, description="AWS region; None: as the environment or the profile says."
    )
    endpoint: Url | None = Field(
        default=None, description="Address of a store that is not Amazon's; plain http only on loopback."
    )
    access_key_id: SecretRef | None = Field(
        default=None, description="Where the key is found; None: the pod's role, or the environment."
    )
    secret_access_key: SecretRef | None = Field(default=None, description="Where its secret is found.")
    is_public: bool = Field(default=False, description="Send no signatures: the bucket is open to everybody.")
    max_concurrent_reads: int = Field(default=16, ge=1, le=256, description="Objects read at once.")
    timeout_s: float = Field(default=60.0, gt=0, description="Seconds for one request.")

    @model_validator(mode="after")
    def _whole_key(self) -> S3Source:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together")
        return self


class HttpSource(_Source):
    """Pages of the web: named one by one, or by sitemaps."""

    kind: Literal["http"]
    urls: tuple[Url, ...] = Field(default=(), description="Pages and files, one by one.")
    sitemaps: tuple[Url, ...] = Field(
        default=(), description="Sitemaps (sitemaps.org), or indices of sitemaps, plain or gzipped."
    )
    allow: tuple[Host, ...] = Field(
        default=(),
        description="Hosts that may be asked, redirects included (`*.example.org`: all below it); empty: those of "
        "`urls` and `sitemaps`.",
    )
    allow_private: bool = Field(
        default=False, description="Let hosts have private, loopback and link-local addresses."
    )
    respect_robots: bool = Field(default=True, description="Leave out what robots.txt forbids `user_agent`.")
    user_agent: str = Field(default="manta", min_length=1, description="Who asks, as servers see it.")
    max_objects: int = Field(default=50_000, ge=1, description="Pages; a sitemap that names more is refused.")
    max_concurrent_reads: int = Field(default=4, ge=1, le=64, description="Pages read at once.")
    min_interval_s: float = Field(
        default=0.0,
        ge=0,
        description="Seconds between two requests; a longer Crawl-delay of robots.txt counts.",
    )
    timeout_s: float = Field(default=30.0, gt=0, description="Seconds for one page, redirects included.")

    @model_validator(mode="after")
    def _something(self) -> HttpSource:
        if not self.urls and not self.sitemaps:
            raise ValueError("an http source needs urls or sitemaps")
        return self


SourceConfig = Annotated[FolderSource | S3Source | HttpSource, Field(discriminator="kind")]
