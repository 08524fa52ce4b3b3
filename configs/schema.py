"""Everything that can be configured: one strict, frozen tree.

Unknown keys are errors, because neither Serve's own schema nor the RayService's rejects a misspelt
knob: this tree is the only guard. Every field has a unit in its name or description, and a default
that runs on a laptop. `docs/configuration.md` is generated from the descriptions below.

Knows nothing of files or the environment: `load` reads them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Strict(BaseModel):
    """The base of the tree: frozen; unknown keys are errors, and so are infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SecretRef(Strict):
    """Where a secret is found. The value itself never stands in a configuration."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Environment variable that holds the secret."
    )


# Seconds, where a policy is given none: Serve's own, and what was best in docs/simulator.md.
_UPSCALE_DELAY_S = {"ongoing_requests": 30.0, "work": 0.0}


class AutoscalerConfig(Strict):
    """How the number of replicas follows the load: Serve's own settings under its own names, and the policy's."""

    policy: Literal["work", "ongoing_requests"] = Field(
        default="work",
        description="What decides. `work`: requests that run and wait, and what replicas say of their queues (tokens, "
        "age), up at once and down slowly. `ongoing_requests`: Serve's own, an average over target_ongoing_requests.",
    )
    initial_replicas: int | None = Field(
        default=None, ge=0, description="Replicas at the start; None: min_replicas."
    )
    upscale_delay_s: float | None = Field(
        default=None,
        ge=0,
        description="Seconds for which more replicas must be wanted before they start; None: 0 with `work`, 30 with "
        "`ongoing_requests`. The first one always starts at once.",
    )
    downscale_delay_s: float = Field(
        default=600.0, ge=0, description="Seconds for which fewer replicas must be wanted before some stop."
    )
    downscale_to_zero_delay_s: float | None = Field(
        default=None, ge=0, description="The same for the last replica; None: downscale_delay_s."
    )
    max_queue_age_s: float | None = Field(
        default=5.0,
        gt=0,
        description="`work` only: more replicas start when a request waits longer than this inside half of them; None: "
        "however long it waits.",
    )
    queued_tokens_per_replica: int | None = Field(
        default=None,
        ge=1,
        description="`work` only: one more replica for so many tokens that wait inside replicas; None: requests are "
        "counted and not their tokens.",
    )
    cold_start_timeout_s: float = Field(
        default=120.0,
        gt=0,
        description="Seconds that a request waits for the first replica of what is scaled to zero; beyond it 503.",
    )
    upscaling_factor: float = Field(
        default=1.0,
        gt=0,
        description="`ongoing_requests` only: of the replicas that are missing, how many times as many start.",
    )
    downscaling_factor: float = Field(
        default=1.0,
        gt=0,
        description="`ongoing_requests` only: of the replicas that are too many, how many times as many stop.",
    )
    look_back_period_s: float = Field(
        default=30.0, gt=0, description="Seconds over which callers' running requests are averaged."
    )
    metrics_interval_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds between reports to the autoscaler. Ray warns that this setting will become an "
        "environment variable when it is not 10.",
    )

    @property
    def upscale_after_s(self) -> float:
        """`upscale_delay_s`, or the policy's own."""
        return _UPSCALE_DELAY_S[self.policy] if self.upscale_delay_s is None else self.upscale_delay_s

    @property
    def sleep_after_s(self) -> float:
        """`downscale_to_zero_delay_s`, or what it falls back to."""
        delay_s = self.downscale_to_zero_delay_s
        return self.downscale_delay_s if delay_s is None else delay_s

    @model_validator(mode="after")
    def _of_the_policy(self) -> AutoscalerConfig:
        if self.policy == "work" and (self.upscaling_factor, self.downscaling_factor) != (1.0, 1.0):
            raise ValueError("upscaling_factor and downscaling_factor are of the policy ongoing_requests")
        return self


class HealthConfig(Strict):
    """When a replica counts as broken, so that another takes its place."""

    check_period_s: float = Field(
        default=2.0,
        ge=0.5,
        description="Seconds between two health checks of a replica. One that dies is noticed at once.",
    )
    check_timeout_s: float = Field(
        default=5.0,
        ge=0.5,
        description="Seconds after which a health check whose answer is due has failed. Three failed ones in a row "
        "replace the replica.",
    )
    max_loop_block_s: float = Field(
        default=15.0,
        ge=1,
        description="A replica whose event loop has not run for so many seconds writes the stacks of its threads "
        "to its log and ends.",
    )
    max_step_s: float = Field(
        default=60.0,
        ge=1,
        description="Seconds for one step of an engine in process: a piece of a prompt, or a token of each running "
        "text. Beyond it the engine hangs.",
    )
    max_failures: int = Field(
        default=3, ge=1, description="Requests that an engine may fail in a row before it counts as broken."
    )
    canary_period_s: float | None = Field(
        default=60.0,
        ge=1,
        description="Seconds between two questions with a known answer, asked while a llama.cpp engine is idle; an "
        "engine that comes to answer them otherwise is broken. None: none are asked.",
    )


class ScalingConfig(Strict):
    """How many replicas a deployment has, how much each takes at once, and when one is replaced."""

    min_replicas: int = Field(default=1, ge=0, description="Replicas that always run; 0 scales to zero.")
    max_replicas: int = Field(default=1, ge=1, description="Upper bound of the autoscaler.")
    target_ongoing_requests: float = Field(
        default=8.0, gt=0, description="Running requests per replica that the autoscaler aims at."
    )
    autoscaler: AutoscalerConfig = Field(
        default=AutoscalerConfig(), description="How fast the autoscaler follows the load."
    )
    max_ongoing_requests: int = Field(
        default=32, ge=1, description="Requests that one replica works on at once: its slots."
    )
    max_queued_requests: int = Field(
        default=128,
        ge=1,
        description="Requests that may wait for a slot of one replica; beyond it callers get 429 with Retry-After, "
        "and interactive requests take the places of batch requests.",
    )
    max_queue_wait_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds that a request may wait for a slot: as long as its users keep waiting, which for people "
        "is about ten. One that would wait longer is refused at once, and a queue that stands near it is kept short.",
    )
    num_cpus: float = Field(default=0.0, ge=0, description="CPUs that Ray reserves for each replica.")
    health: HealthConfig = Field(default=HealthConfig(), description="When a replica counts as broken.")
    graceful_shutdown_timeout_s: float = Field(
        default=20.0, ge=0, description="Seconds that running requests have to end when a replica stops."
    )
    max_surge_percent: int = Field(
        default=100,
        ge=0,
        le=100,
        description="Share of the replicas, in percent, that an update may start beside the old ones before it stops "
        "those; 0 stops old ones first, for hardware that has no room for both.",
    )

    @model_validator(mode="after")
    def _bounds(self) -> ScalingConfig:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is above max_replicas {self.max_replicas}")
        initial = self.autoscaler.initial_replicas
        if initial is not None and not self.min_replicas <= initial <= self.max_replicas:
            raise ValueError(f"initial_replicas {initial} is not between min_replicas and max_replicas")
        return self


# ---------------------------------------------------------------- weights


class CatalogueWeights(Strict):
    """A model that Manta knows by name, with its source, checksum and licence (`manta models list`)."""

    catalogue: Name = Field(description="Name in the catalogue.")


class FileWeights(Strict):
    """A file that is already on this machine."""

    path: str = Field(min_length=1, description="Path of a GGUF file; `~` is expanded.")


class HubWeights(Strict):
    """A file of a model hub, pinned."""

    repo: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")] = Field(
        description="Repository, as `owner/name`."
    )
    file: str = Field(min_length=1, description="File in the repository.")
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] = Field(
        description="Commit of the repository, 40 hex digits."
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="Checksum of the file; a download that differs is thrown away."
    )


Weights = CatalogueWeights | FileWeights | HubWeights

# ---------------------------------------------------------------- models


class ModelBase(Strict):
    """What every chat model has, whatever its engine."""

    name: Name = Field(description="What clients write into `model`.")
    optional: bool = Field(
        default=False,
        description="Leave the model out, with a warning, when its weights are not on this machine.",
    )
    max_deadline_s: float | None = Field(
        default=None,
        gt=0,
        description="Most seconds that a request of this model has, queue included, whatever it asks for; None: no "
        "limit of its own.",
    )
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")


class MockModel(ModelBase):
    """Makes words at a calibrated pace, from a seed: for benchmarks and tests of what is around engines."""

    engine: Literal["mock"]
    ttft_ms: float = Field(default=20.0, ge=0, description="Time to the first token, in milliseconds.")
    tpot_ms: float = Field(default=5.0, ge=0, description="Time per further token, in milliseconds.")
    prefill_us_per_token: float = Field(
        default=0.0,
        ge=0,
        description="Engine time per token of a prompt, in microseconds. Above 0, and so with "
        "`tpot_us_per_running`, sequences share the engine's steps as in a real batch, and `tpot_ms` is a "
        "step's fixed part.",
    )
    tpot_us_per_running: float = Field(
        default=0.0, ge=0, description="What each running sequence adds to every step, in microseconds."
    )
    max_batched_tokens: int = Field(
        default=2048,
        ge=1,
        description="Tokens of one step: one of each running sequence, and chunks of prompts. Only when "
        "sequences share steps.",
    )
    jitter: Fraction = Field(
        default=0.0, description="Relative spread of both times: 0.1 draws from 0.9 to 1.1 of them."
    )
    seed: int = Field(default=0, description="Seed of text and jitter, mixed with the request's own.")
    num_output_tokens: int = Field(
        default=32, ge=1, description="Tokens of an answer whose request sets no maximum."
    )
    max_concurrent: int = Field(
        default=256, ge=1, description="Sequences that are generated at once; others wait their turn."
    )
    context_tokens: int = Field(default=32768, ge=16, description="Prompt and answer together, in tokens.")
    faults: bool = Field(
        default=False,
        description="Break when a prompt orders it: `fault:hang_loop=30` in its text blocks the replica for 30 s, "
        "`fault:hang_engine` stops its engine, `fault:garbage` fails as garbled weights do, `fault:fail=3` and "
        "`fault:die=3` fail the request and end the process after 3 tokens. For tests of what is around engines.",
    )


class ExtractiveModel(ModelBase):
    """Answers a grounded prompt with sentences of the passages themselves, cited. Needs no weights."""

    engine: Literal["extractive"]
    max_sentences: int = Field(default=4, ge=1, le=20, description="Sentences of an answer, at most.")


class LlamaCppModel(ModelBase):
    """A GGUF model on llama.cpp, in process."""

    engine: Literal["llamacpp"]
    weights: Weights = Field(description="Where the GGUF file comes from.")
    context_tokens: int = Field(default=4096, ge=128, description="Prompt and answer together, in tokens.")
    num_threads: int | None = Field(
        default=None, ge=1, description="Threads of the engine; None: the deployment's CPUs."
    )


class ExternalModel(ModelBase):
    """A model behind somebody else's OpenAI-compatible endpoint."""

    engine: Literal["external"]
    base_url: Url = Field(description="Up to and with `/v1`.")
    upstream_model: Name = Field(description="The model's name over there.")
    api_key: SecretRef | None = Field(default=None, description="Sent as bearer token.")
    connect_timeout_s: float = Field(default=5.0, gt=0, description="Seconds to wait for a connection.")


ModelConfig = Annotated[
    MockModel | ExtractiveModel | LlamaCppModel | ExternalModel, Field(discriminator="engine")
]

# ---------------------------------------------------------------- embedder


class EmbedderBase(Strict):
    """What every embedding model has."""

    name: Name = Field(description="What clients write into `model`.")
    query_prefix: str = Field(
        default="", description="Put before queries, not before passages, by asymmetric models."
    )
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")


class MockEmbedder(EmbedderBase):
    """Hashes words into vectors: equal texts get equal vectors, texts that share words are near."""

    engine: Literal["mock"]
    dim: int = Field(default=64, ge=8, le=8192, description="Dimension of the vectors.")
    context_tokens: int = Field(default=256, ge=8, description="Longest text, in tokens.")


class LlamaCppEmbedder(EmbedderBase):
    """A GGUF embedding model on llama.cpp, in process."""

    engine: Literal["llamacpp"]
    weights: Weights = Field(description="Where the GGUF file comes from.")
    context_tokens: int | None = Field(
        default=None, ge=8, description="Longest text, in tokens; None: what the model was trained with."
    )
    max_batch_tokens: int = Field(
        default=2048,
        ge=64,
        description="Tokens taken from the queue at once: shared among the callers, then cut into steps.",
    )
    ubatch_tokens: int = Field(
        default=256,
        ge=32,
        description="Tokens of one call of llama.cpp, at least the longest text; small is fast.",
    )
    num_threads: int | None = Field(
        default=None, ge=1, description="Threads of the engine; None: the deployment's CPUs."
    )

    @model_validator(mode="after")
    def _batches(self) -> LlamaCppEmbedder:
        if self.max_batch_tokens % self.ubatch_tokens:
            raise ValueError(
                f"max_batch_tokens {self.max_batch_tokens} is no multiple of ubatch_tokens {self.ubatch_tokens}"
            )
        return self


class ExternalEmbedder(EmbedderBase):
    """An embedding model behind somebody else's OpenAI-compatible endpoint."""

    engine: Literal["external"]
    base_url: Url = Field(description="Up to and with `/v1`.")
    upstream_model: Name = Field(description="The model's name over there.")
    dim: int = Field(ge=8, le=8192, description="Dimension of the vectors; another one is refused.")
    context_tokens: int = Field(ge=8, description="Longest text, in tokens.")
    api_key: SecretRef | None = Field(default=None, description="Sent as bearer token.")
    connect_timeout_s: float = Field(default=5.0, gt=0, description="Seconds to wait for a connection.")


EmbedderConfig = Annotated[MockEmbedder | LlamaCppEmbedder | ExternalEmbedder, Field(discriminator="engine")]

# ---------------------------------------------------------------- knowledge base


class LanceDbStoreConfig(Strict):
    """The embedded store: files on this machine's disk, written by one replica."""

    kind: Literal["lancedb"]
    path: str = Field(
        default="knowledge", description="Folder of the store; a relative one is inside `home`."
    )


class MemoryStoreConfig(Strict):
    """Nothing is kept: for tests and trials."""

    kind: Literal["memory"]


StoreConfig = Annotated[LanceDbStoreConfig | MemoryStoreConfig, Field(discriminator="kind")]


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
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")

    @model_validator(mode="after")
    def _one_writer(self) -> KnowledgeConfig:
        if self.scaling.max_replicas != 1 or self.scaling.min_replicas != 1:
            raise ValueError(
                f"the {self.store.kind} store is inside its replica: min_replicas and max_replicas must be 1"
            )
        return self


# ---------------------------------------------------------------- agent


class BudgetConfig(Strict):
    """Seconds that an answer and each of its stages may take; what remains of the whole always bounds a stage."""

    total_s: float = Field(default=30.0, gt=0, description="The whole answer.")
    retrieve_s: float = Field(default=2.0, gt=0, description="Retrieval, embedding included.")
    first_token_s: float = Field(default=8.0, gt=0, description="Until the chat model's first token.")


class GateConfig(Strict):
    """Stage A of the quality gate: is the question answerable from what was retrieved?

    Compared with a probability made from the retrieval's features, never with the RRF score.
    """

    correct_at: Fraction = Field(default=0.6, description="From here on the passages are used as they are.")
    incorrect_below: Fraction = Field(default=0.25, description="Below it the passages are not used.")

    @model_validator(mode="after")
    def _order(self) -> GateConfig:
        if self.incorrect_below > self.correct_at:
            raise ValueError(f"incorrect_below {self.incorrect_below} is above correct_at {self.correct_at}")
        return self


class AgentConfig(Strict):
    """The agent pipeline: questions in, cited answers out."""

    name: Name = Field(default="manta", description="What clients write into `model` to ask the agent.")
    models: tuple[Name, ...] = Field(
        min_length=1,
        description="Chat models in order of preference: the first that is there answers, the next are its fallbacks.",
    )
    num_passages: int = Field(default=6, ge=1, le=50, description="Passages in the prompt.")
    max_question_chars: int = Field(default=8000, ge=16, description="Longest question.")
    max_answer_tokens: int = Field(default=400, ge=16, description="Longest answer, in tokens.")
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="Of the answering model.")
    abstain_when_incorrect: bool = Field(
        default=True,
        description="Say that the documents have no answer, with the nearest sources, instead of guessing.",
    )
    budget: BudgetConfig = Field(default=BudgetConfig(), description="Time limits.")
    gate: GateConfig = Field(default=GateConfig(), description="Thresholds of the context gate.")
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")


# ---------------------------------------------------------------- ingress and the whole


class IngressConfig(Strict):
    """The HTTP door."""

    max_body_bytes: int = Field(
        default=48 * 1024 * 1024, ge=1024, description="Largest request body; beyond it 413."
    )
    max_embedding_inputs: int = Field(default=2048, ge=1, description="Texts in one /v1/embeddings request.")
    default_deadline_s: float = Field(
        default=120.0, gt=0, description="Seconds that a request has when it does not say."
    )
    max_deadline_s: float = Field(default=600.0, gt=0, description="Most seconds that a request may ask for.")
    priorities: tuple[Literal["interactive", "batch"], ...] = Field(
        default=("interactive", "batch"),
        min_length=1,
        description="Priorities that requests may ask for; the first is that of requests that ask for none.",
    )
    default_tenant: Name = Field(default="default", description="Tenant of requests that name none.")
    scaling: ScalingConfig = Field(
        default=ScalingConfig(max_ongoing_requests=512, max_queued_requests=1024),
        description="Replicas and limits.",
    )


class StreamsConfig(Strict):
    """How the streams of engines and agents travel to who called them."""

    transport: Literal["channel", "plain"] = Field(
        default="channel",
        description="`channel`: the streams of two replicas share one connection of their own, and their frames "
        "travel together. `plain`: each frame is a message of Ray Serve.",
    )
    continues: bool = Field(
        default=True,
        description="Continue an answer whose replica was lost on another one, if the request makes the same text "
        "again: `temperature` 0 or a `seed`, one choice, no tools. Otherwise, and where the texts differ, the "
        "client gets an error event.",
    )
    silence_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds without an answer after which the replica at the other end of a channel counts as hung: "
        "its streams end with an error.",
    )


class PlatformConfig(Strict):
    """One Manta application."""

    home: str | None = Field(
        default=None,
        description="Folder for data and model weights; None: MANTA_HOME, else the user's data folder.",
    )
    ingress: IngressConfig = Field(default=IngressConfig(), description="The HTTP door.")
    models: tuple[ModelConfig, ...] = Field(min_length=1, description="Chat models.")
    embedder: EmbedderConfig = Field(description="The embedding model.")
    knowledge: KnowledgeConfig = Field(default=KnowledgeConfig(), description="The knowledge base.")
    agent: AgentConfig = Field(description="The agent pipeline.")
    streams: StreamsConfig = Field(
        default=StreamsConfig(), description="How streams travel between replicas."
    )

    @model_validator(mode="after")
    def _names(self) -> PlatformConfig:
        names = [model.name for model in self.models] + [self.embedder.name, self.agent.name]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the name {name!r} is given twice among models, embedder and agent")
        known = {model.name for model in self.models}
        for name in self.agent.models:
            if name not in known:
                raise ValueError(f"agent.models names {name!r}, which is none of: {', '.join(sorted(known))}")
        if all(model.optional for model in self.models if model.name in self.agent.models):
            raise ValueError("agent.models needs one model that is not optional")
        return self
