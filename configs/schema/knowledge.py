"""The knowledge base: where chunks are kept, how documents are cut and passages found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from configs.schema.base import SecretRef, Strict, Url
from configs.schema.scaling import ScalingConfig
from configs.schema.sources import SourceConfig


class LanceDbStoreConfig(Strict):
    """The embedded store: files on this machine's disk, written by one replica."""

    kind: Literal["lancedb"]
    path: str = Field(
        default="knowledge", description="Folder of the store; a relative one is inside `home`."
    )


class MemoryStoreConfig(Strict):
    """Nothing is kept: for tests and trials."""

    kind: Literal["memory"]


class BasicAuth(Strict):
    """A user of the server, by name and password."""

    kind: Literal["basic"]
    user: str = Field(min_length=1, description="Name of the user.")
    password: SecretRef = Field(description="Where the password is found.")


class SigV4Auth(Strict):
    """Requests signed for Amazon's services, with the credentials that boto finds (role, profile, environment)."""

    kind: Literal["sigv4"]
    region: str = Field(min_length=1, description="AWS region of the service.")
    service: Literal["es", "aoss"] = Field(
        default="es", description="Amazon OpenSearch Service, or its Serverless variant."
    )


IndexName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]


class HnswConfig(Strict):
    """The graph of the vectors. A change of all but ef_search asks for a rebuild of the index."""

    engine: Literal["lucene", "faiss"] = Field(
        default="lucene", description="Library that builds the graph; both filter while they search."
    )
    m: int = Field(default=16, ge=2, le=100, description="Neighbours of a vector in the graph.")
    ef_construction: int = Field(
        default=100, ge=2, le=4096, description="Candidates that building the graph looks at."
    )
    ef_search: int = Field(
        default=100, ge=1, le=10_000, description="Candidates that a search looks at, at least."
    )


class OpenSearchStoreConfig(Strict):
    """An OpenSearch server: one's own, or Amazon's. Several replicas of the knowledge base may share it."""

    kind: Literal["opensearch"]
    url: Url = Field(default="http://127.0.0.1:9200", description="Where the server is.")
    index: IndexName = Field(
        default="manta", description="Name of the alias; the indices behind it begin with it."
    )
    auth: Annotated[BasicAuth | SigV4Auth, Field(discriminator="kind")] | None = Field(
        default=None, description="How requests are authenticated; None: not at all."
    )
    ca_file: str | None = Field(
        default=None, description="PEM file of the authority that signed the server's certificate."
    )
    hnsw: HnswConfig = Field(default=HnswConfig(), description="The graph of the vectors.")
    num_shards: int = Field(default=1, ge=1, le=1024, description="Shards of an index; for a rebuild.")
    num_copies: int = Field(default=0, ge=0, le=16, description="Copies of each shard on other nodes.")
    language: Literal["english", "german", "french", "spanish", "italian", "portuguese", "dutch", "none"] = (
        Field(default="english", description="Whose words are stemmed, and whose stop words dropped.")
    )
    route_by_tenant: bool = Field(
        default=False,
        description="Keep each tenant on one shard, so that a search asks one: for many small tenants.",
    )
    hybrid: Literal["auto", "server", "client"] = Field(
        default="auto",
        description="Who fuses the legs. auto: the server where it can and one shard answers, else the client.",
    )
    bulk_max_chunks: int = Field(default=500, ge=1, le=10_000, description="Chunks in one write, at most.")
    bulk_max_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, description="Bytes of one write, at most; a chunk is never cut."
    )
    request_timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds for one request, where its deadline leaves more."
    )
    write_timeout_s: float = Field(default=60.0, gt=0, description="Seconds for one write, retries included.")
    max_retries: int = Field(
        default=3,
        ge=0,
        le=20,
        description="Times that a request is made again after a lost connection or a 429.",
    )
    breaker_failures: int = Field(
        default=5, ge=1, description="Lost connections and timeouts in a row, after which nothing is sent."
    )
    breaker_pause_s: float = Field(
        default=5.0, gt=0, description="Seconds until one request tries the server again."
    )
    max_connections: int = Field(default=32, ge=1, description="Connections of a replica.")
    lease_s: float = Field(
        default=30.0, gt=0, description="Seconds after which a writer that says nothing is taken for dead."
    )

    @model_validator(mode="after")
    def _fusion(self) -> OpenSearchStoreConfig:
        if self.hybrid == "server" and self.num_shards > 1 and not self.route_by_tenant:
            raise ValueError(
                "hybrid: server ranks each shard by itself: it needs num_shards 1, or route_by_tenant"
            )
        return self


class MilvusStoreConfig(Strict):
    """Milvus: a server, or Milvus Lite in the replica's process, which then is its only writer."""

    kind: Literal["milvus"]
    uri: str = Field(
        default="knowledge/milvus.db",
        min_length=1,
        description="http(s) address of a server, or a path that ends in .db for Milvus Lite, inside `home`.",
    )
    token: SecretRef | None = Field(
        default=None, description="Where the server's token is found, or `user:password`."
    )
    collection: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")] = Field(
        default="manta", description="Name of the alias; the collections behind it begin with it."
    )
    manifest_path: str = Field(
        default="knowledge/milvus-manifest.sqlite", description="File of the manifest, inside `home`."
    )
    hnsw: HnswConfig = Field(
        default=HnswConfig(), description="The graph of the vectors; `engine` is Milvus' own."
    )
    num_partitions: int = Field(
        default=16, ge=1, le=1024, description="Partitions that the tenants are spread over."
    )
    request_timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds for one request, where its deadline leaves more."
    )
    write_timeout_s: float = Field(default=60.0, gt=0, description="Seconds for one write.")


StoreConfig = Annotated[
    LanceDbStoreConfig | MemoryStoreConfig | OpenSearchStoreConfig | MilvusStoreConfig,
    Field(discriminator="kind"),
]


class ChunkingConfig(Strict):
    """How documents are cut. Changing it re-embeds what was ingested, at the next sync."""

    max_tokens: int = Field(
        default=220, ge=32, description="Longest chunk, in the embedder's tokens, its headings not counted."
    )
    overlap_tokens: int = Field(
        default=30, ge=0, description="Tokens that a chunk repeats of the one before it in the same section."
    )

    @model_validator(mode="after")
    def _overlap(self) -> ChunkingConfig:
        if self.overlap_tokens * 2 > self.max_tokens:
            raise ValueError(
                f"overlap_tokens {self.overlap_tokens} is more than half of max_tokens {self.max_tokens}"
            )
        return self


class RerankConfig(Strict):
    """The last stage of a search, where the profile has a `reranker`."""

    by_default: bool = Field(
        default=True, description="Rerank searches that do not say whether to; the agent's are among them."
    )
    num_candidates: int = Field(
        default=24, ge=1, le=200, description="Passages of the fusion that the reranker looks at."
    )
    timeout_s: float = Field(
        default=0.5,
        gt=0,
        description="Seconds that it may take; after it the fusion's order stands, flagged `rerank_skipped`.",
    )
    max_passage_chars: int = Field(
        default=4000, ge=100, description="Of a passage, title and headings included, that it reads."
    )


class RetrievalConfig(Strict):
    """How passages are found."""

    num_candidates: int = Field(
        default=50, ge=1, le=1000, description="Chunks that each leg hands to the fusion."
    )
    rrf_k: int = Field(
        default=60,
        ge=1,
        description="Rank constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009 use 60).",
    )
    max_k: int = Field(default=100, ge=1, le=1000, description="Most passages that one search may ask for.")
    embed_timeout_s: float = Field(
        default=2.0, gt=0, description="Seconds for embedding a query; after it the search is lexical only."
    )
    duplicate_share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=0.9,
        description="Share of sequences of five words in common from which on two passages are the same, and only the "
        "better one is a result; None: all are.",
    )
    rerank: RerankConfig = Field(default=RerankConfig(), description="Ordering by a reranker.")


class CurrencyConfig(Strict):
    """How the base is kept current, and when it is called stale."""

    sync_every_s: float | None = Field(
        default=None,
        gt=0,
        description="Seconds between two syncs of each of `sources`; None: only when somebody asks for one.",
    )
    max_age_s: float | None = Field(
        default=None,
        gt=0,
        description="Seconds after which a source that nobody has looked at is stale; None: a look does not age.",
    )
    sync_when_stale: bool = Field(
        default=False,
        description="A search whose passages are of a stale one of `sources` starts its sync, in the background.",
    )
    known_for_s: float = Field(
        default=15.0,
        gt=0,
        description="Seconds for which a replica believes what it read of the sources' state.",
    )


class JobsConfig(Strict):
    """Posted documents that are ingested in the background."""

    max_open_per_tenant: int = Field(
        default=4, ge=1, description="Jobs of a tenant that are not finished; one more is refused with 429."
    )
    max_open: int = Field(default=32, ge=1, description="The same of all tenants together.")
    max_running: int = Field(default=2, ge=1, description="Jobs that a replica does at once.")
    num_kept: int = Field(default=100, ge=0, description="Finished jobs of a tenant that are still told of.")
    resume_every_s: float = Field(
        default=30.0, gt=0, description="Seconds between two looks for jobs whose replica went away."
    )


class KnowledgeConfig(Strict):
    """The knowledge base."""

    store: StoreConfig = Field(
        default=LanceDbStoreConfig(kind="lancedb"), description="Where chunks are kept."
    )
    chunking: ChunkingConfig = Field(default=ChunkingConfig(), description="How documents are cut.")
    retrieval: RetrievalConfig = Field(default=RetrievalConfig(), description="How passages are found.")
    max_document_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="Largest document that is read."
    )
    sources: tuple[SourceConfig, ...] = Field(
        default=(),
        description="Where documents come from that nobody has to send: `manta kb sync` reads them.",
    )
    currency: CurrencyConfig = Field(default=CurrencyConfig(), description="Keeping it current.")
    jobs: JobsConfig = Field(default=JobsConfig(), description="Posted documents.")
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")

    @model_validator(mode="after")
    def _sources_apart(self) -> KnowledgeConfig:
        seen: set[tuple[str, str]] = set()
        for source in self.sources:
            if (source.tenant, source.name) in seen:
                raise ValueError(f"sources: {source.name} of the tenant {source.tenant} is there twice")
            seen.add((source.tenant, source.name))
        return self

    @model_validator(mode="after")
    def _one_writer(self) -> KnowledgeConfig:
        if self.store.kind == "opensearch":
            return self  # the manifest and the writers' leases are on the server
        if self.scaling.max_replicas != 1 or self.scaling.min_replicas != 1:
            raise ValueError(
                f"the {self.store.kind} store has one writer: min_replicas and max_replicas must be 1"
            )
        return self
