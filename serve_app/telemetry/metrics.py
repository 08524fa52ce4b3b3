"""Every metric of ours: name, unit, labels and buckets in one place.

Ray exports them with the prefix `ray_`; docs/operations.md lists them, and a test compares the two.
Knows nothing of Ray: `deployment` makes instruments of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

# Seconds, from a fast vector search to the longest answer that is allowed.
_DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is counted or measured. The unit is the end of the name, as Prometheus has it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Count(Protocol):
    """Adds to a counter, from any thread."""

    def __call__(self, metric: Metric, amount: float = 1.0, **labels: str) -> None: ...


def count_nothing(metric: Metric, amount: float = 1.0, **labels: str) -> None:
    """For engines whose numbers nobody wants."""


AGENT_DURATION = Metric(
    "agent_request_duration_seconds",
    "histogram",
    "Time from the agent's first step to its final event.",
    ("agent", "outcome"),
    _DURATIONS_S,
)
AGENT_DEGRADED = Metric(
    "agent_degraded_total", "counter", "Answers that carry a flag, once for each flag.", ("agent", "reason")
)
TOOL_DURATION = Metric(
    "tool_execution_duration_seconds",
    "histogram",
    "Time of a tool's call by a declared agent; `status` is success or error.",
    ("agent", "tool", "status"),
    _DURATIONS_S,
)
SEARCH_DURATION = Metric(
    "vector_search_duration_seconds",
    "histogram",
    "Time of one search of the knowledge base, embedding of the query included.",
    ("mode",),
    _DURATIONS_S,
)
AGENT_LOOPS = Metric(
    "agent_loops_total", "counter", "Rewrites, web rounds and further drafts of answers.", ("agent", "loop")
)
GATE_VERDICTS = Metric(
    "agent_gate_verdicts_total",
    "counter",
    "Verdicts of the gate: on the passages (stage context; evaluator features) and on the last draft (stage answer; "
    "evaluator builtin, or ragas and its version).",
    ("agent", "stage", "evaluator", "verdict"),
)
AGENT_MODEL_CALLS = Metric(
    "agent_model_calls_total",
    "counter",
    "Calls of chat models that answers took, without those of other agents that were asked.",
    ("agent",),
)
AGENT_TOKENS = Metric(
    "agent_tokens_total",
    "counter",
    "Tokens that these calls took, as the models told: kind prompt or completion.",
    ("agent", "kind"),
)
LLM_TOKENS = Metric(
    "llm_tokens_total",
    "counter",
    "Tokens that an engine of our own read and wrote: kind prompt or completion, of texts that ended.",
    ("name", "kind"),
)
SPANS_DROPPED = Metric(
    "trace_spans_dropped_total", "counter", "Spans that were not exported, and why.", ("reason",)
)
SCORES_DROPPED = Metric(
    "trace_scores_dropped_total", "counter", "Evaluation scores that did not reach Langfuse.", ("reason",)
)
SESSIONS_ACTIVE = Metric(
    "agent_active_sessions",
    "gauge",
    "Conversations that had a turn in this replica within 15 minutes.",
    ("name",),
)
SESSION_SUMMARIES = Metric(
    "session_summaries_total", "counter", "Summaries of long conversations, by result.", ("result",)
)
WEB_SEARCH_DURATION = Metric(
    "web_search_duration_seconds",
    "histogram",
    "Time of one search of the web, by what became of it: found, nothing, cancelled, or an error's code.",
    ("provider", "outcome"),
    _DURATIONS_S,
)
DOCUMENTS_INGESTED = Metric(
    "knowledge_documents_total", "counter", "Documents that were sent for ingestion, by result.", ("status",)
)
CHUNKS_EMBEDDED = Metric(
    "knowledge_chunks_embedded_total", "counter", "Chunks whose text was new and had to be embedded."
)
REQUESTS_CANCELLED = Metric(
    "requests_cancelled_total",
    "counter",
    "Calls of a model, the embedder or the agent that were stopped before their end.",
    ("name", "reason"),
)
REQUESTS_REFUSED = Metric(
    "requests_refused_total",
    "counter",
    "Calls of a model, the embedder or the agent that got no slot, by the error's code.",
    ("name", "reason"),
)
PROMPT_TOKENS = Metric(
    "prompt_tokens_total", "counter", "Tokens of the prompts that a llama.cpp engine began.", ("name",)
)
PROMPT_TOKENS_CACHED = Metric(
    "prompt_tokens_cached_total",
    "counter",
    "Of these, tokens whose keys and values were there from an earlier text.",
    ("name",),
)
REQUESTS_RUNNING = Metric("requests_running", "gauge", "Calls that hold a slot of this replica.", ("name",))
REQUESTS_QUEUED = Metric("requests_queued", "gauge", "Calls that wait for a slot of this replica.", ("name",))
OLDEST_QUEUED = Metric(
    "requests_oldest_queued_seconds",
    "gauge",
    "How long the call that waits longest for a slot of this replica has waited; 0 while none waits.",
    ("name",),
)
STREAMS_SENT = Metric(
    "channel_streams_sent",
    "gauge",
    "Answers that this replica streams to its callers by the channel.",
    ("name",),
)
STREAMS_RECEIVED = Metric(
    "channel_streams_received",
    "gauge",
    "Answers that other replicas stream to this one by the channel.",
    ("name",),
)
CHANNEL_LINKS = Metric(
    "channel_links", "gauge", "Connections of the channel to and from other replicas.", ("name",)
)
EVENT_LOOP_TASKS = Metric("event_loop_tasks", "gauge", "Tasks of this replica's event loop.", ("name",))

ROUTED_REQUESTS = Metric(
    "route_requests_total",
    "counter",
    "Requests of a group, by the model that answered and why it did.",
    ("group", "model", "why"),
)
ROUTE_FALLBACKS = Metric(
    "route_fallbacks_total",
    "counter",
    "Models of a group that could not answer, so that another one was asked, by the error's code.",
    ("group", "model", "reason"),
)
CASCADE_ANSWERS = Metric(
    "cascade_answers_total",
    "counter",
    "Requests of a cascade, by the model that was to answer and the signal that said so.",
    ("group", "model", "why"),
)
CASCADE_DISCARDED_TOKENS = Metric(
    "cascade_discarded_tokens_total",
    "counter",
    "Tokens of prompts and answers of the small model that were thrown away for the large one's.",
    ("group",),
)
ANSWER_CACHE_REQUESTS = Metric(
    "answer_cache_requests_total",
    "counter",
    "Requests by what the answer cache had for them: hit, semantic, miss, shared (with one under way), bypass.",
    ("model", "result"),
)
ANSWER_CACHE_ERRORS = Metric(
    "answer_cache_errors_total",
    "counter",
    "Times that the cache's store, the embedder or the knowledge base did not answer it, so that a model was asked.",
    ("reason",),
)
TENANT_REQUESTS = Metric(
    "tenant_requests_total",
    "counter",
    "Requests to a model or agent that the door let in and that are over.",
    ("tenant", "model"),
)
TENANT_TOKENS = Metric(
    "tenant_tokens_total",
    "counter",
    "Tokens that they took, as the door counts them: kind prompt or completion.",
    ("tenant", "model", "kind"),
)
TENANT_COST = Metric(
    "tenant_cost_usd_total",
    "counter",
    "What they cost, in US dollars, by `door.prices`.",
    ("tenant", "model"),
)
TENANT_REFUSED = Metric(
    "tenant_requests_refused_total",
    "counter",
    "Requests that a limit refused, by what it limits: requests, tokens, concurrent, day, month.",
    ("tenant", "model", "limit"),
)
BUDGET_USED = Metric(
    "budget_used_ratio",
    "gauge",
    "Share of the money that a tenant or a model has for the day or the month (period) that is spent or reserved.",
    ("scope", "period"),
)
SOURCES = Metric(
    "knowledge_sources",
    "gauge",
    "Sources of the profile by how they stand: fresh, stale, never_synced or failing.",
    ("standing",),
)
GUARD_FINDINGS = Metric(
    "guard_findings_total",
    "counter",
    "What guards found in prompts (in) and answers (out), by what it is and what became of it.",
    ("direction", "category", "kind", "action"),
)


def count_agent_usage(count: Count, agent: str, usage: Mapping[str, int]) -> None:
    """Count what an agent's own calls of models took; an agent that it asks counts for itself."""
    count(AGENT_MODEL_CALLS, usage["num_model_calls"], agent=agent)
    for kind in ("prompt", "completion"):
        count(AGENT_TOKENS, usage[f"{kind}_tokens"], agent=agent, kind=kind)


ALL = (
    AGENT_DURATION,
    AGENT_DEGRADED,
    TOOL_DURATION,
    SEARCH_DURATION,
    WEB_SEARCH_DURATION,
    AGENT_LOOPS,
    GATE_VERDICTS,
    AGENT_MODEL_CALLS,
    AGENT_TOKENS,
    LLM_TOKENS,
    SPANS_DROPPED,
    SCORES_DROPPED,
    SESSIONS_ACTIVE,
    SESSION_SUMMARIES,
    DOCUMENTS_INGESTED,
    CHUNKS_EMBEDDED,
    REQUESTS_CANCELLED,
    REQUESTS_REFUSED,
    PROMPT_TOKENS,
    PROMPT_TOKENS_CACHED,
    ROUTED_REQUESTS,
    ROUTE_FALLBACKS,
    CASCADE_ANSWERS,
    CASCADE_DISCARDED_TOKENS,
    ANSWER_CACHE_REQUESTS,
    ANSWER_CACHE_ERRORS,
    GUARD_FINDINGS,
    TENANT_REQUESTS,
    TENANT_TOKENS,
    TENANT_COST,
    TENANT_REFUSED,
    BUDGET_USED,
    SOURCES,
    REQUESTS_RUNNING,
    REQUESTS_QUEUED,
    OLDEST_QUEUED,
    STREAMS_SENT,
    STREAMS_RECEIVED,
    CHANNEL_LINKS,
    EVENT_LOOP_TASKS,
)
