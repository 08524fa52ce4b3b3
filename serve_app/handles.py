"""DeploymentHandles as the protocols that the rest of the code is written against."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import repeat
from typing import Any

from ray.serve.handle import DeploymentHandle

from configs.schema import StreamsConfig
from serve_app.adapters.base import Adapter
from serve_app.agent.events import decode_events
from serve_app.attempts import Attempts
from serve_app.calls import Caller
from serve_app.channel.inbox import Inbox
from serve_app.channel.values import Values
from serve_app.messages import (
    AgentEvent,
    AgentQuestion,
    ApprovalDecision,
    DocumentInfo,
    DocumentInput,
    DocumentOutcome,
    EmbeddingInput,
    Embeddings,
    Endpoint,
    JsonObject,
    KnowledgeStatus,
    ModelCard,
    RebuildReport,
    RequestContext,
    Scores,
    SearchQuery,
    SearchResult,
    SyncPlan,
)
from serve_app.openai_api.continuation import is_repeatable
from serve_app.retrieval.jobs.base import Job

# Whose events `openai_api.continuation` knows.
_CONTINUABLE = (Endpoint.CHAT, Endpoint.COMPLETIONS)

_EMBEDDINGS = Values(Embeddings)
_SCORES = Values(Scores)
_SEARCH_RESULTS = Values(SearchResult)


class ModelHandle:
    """A chat model's deployment as a ModelClient."""

    def __init__(
        self,
        handle: DeploymentHandle[Any],
        name: str,
        inbox: Inbox | None = None,
        *,
        continues: bool = True,
        max_deadline_s: float | None = None,
        own_calls_per_s: float = math.inf,
    ) -> None:
        """
        Args:
            continues: an answer that was cut and can be made again is continued by another replica.
            max_deadline_s: most seconds that a request has.
            own_calls_per_s: as of `Caller`.
        """
        self._handle = handle
        self._name = name
        self._inbox = inbox
        self._caller = Caller(handle, name, inbox, own_calls_per_s=own_calls_per_s)
        self._own_calls_per_s = own_calls_per_s
        self._attempts = Attempts(name)
        self._continues = continues
        self._max_deadline_s = max_deadline_s

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        contexts = _attempts(context.at_most(self._max_deadline_s))
        return await self._attempts.result(
            lambda: self._caller.document("respond", endpoint, body, context=next(contexts))
        )

    def stream(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> AsyncIterator[bytes]:
        contexts = _attempts(context.at_most(self._max_deadline_s))
        return self._attempts.stream(
            lambda: self._caller.stream("stream", endpoint, body, context=next(contexts)),
            may_continue=self._continues and endpoint in _CONTINUABLE and is_repeatable(body),
        )

    async def check_health(self) -> None:
        await self._caller.check_health()

    def with_adapter(self, name: str) -> ModelHandle:
        """The same for requests of one adapter: replicas that have it come first."""
        return ModelHandle(
            self._handle.options(multiplexed_model_id=name),
            self._name,
            self._inbox,
            continues=self._continues,
            max_deadline_s=self._max_deadline_s,
            own_calls_per_s=self._own_calls_per_s,
        )

    async def load_adapter(self, adapter: Adapter, context: RequestContext) -> None:
        """Have one replica load it. Raises BadRequest: it does not fit."""
        await self._caller.call("load_adapter", adapter, context=context)


def _attempts(context: RequestContext) -> Iterator[RequestContext]:
    """The context of the first attempt, and of each that follows."""
    yield context
    yield from repeat(context.again())


def model_handles(
    models: Mapping[str, DeploymentHandle[Any]],
    cards: Mapping[str, ModelCard],
    inbox: Inbox | None,
    streams: StreamsConfig,
) -> dict[str, ModelHandle]:
    """The chat models of the graph, by name. `cards` has one for each."""
    return {
        name: ModelHandle(
            handle,
            name,
            inbox,
            continues=streams.continues,
            max_deadline_s=cards[name].max_deadline_s,
            own_calls_per_s=own_calls_per_s(cards[name], streams),
        )
        for name, handle in models.items()
    }


def own_calls_per_s(card: ModelCard, streams: StreamsConfig) -> float:
    """As of `Caller`, for requests to a model or an agent."""
    return math.inf if card.has_own_calls else streams.own_calls_per_s


class EmbedderHandle(ModelHandle):
    """The embedder's deployment as an EmbeddingClient."""

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        given = EmbeddingInput(list(texts), is_query, truncate)  # type: ignore[arg-type]
        return await self._attempts.result(
            lambda: self._caller.value("embed", _EMBEDDINGS, given, context=context)
        )

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        counts: list[int] = await self._attempts.result(
            lambda: self._caller.call("count_tokens", list(texts), context, context=context)
        )
        return counts

    async def describe(self) -> ModelCard:
        card: ModelCard = await self._caller.call("describe")
        return card


class RerankerHandle(ModelHandle):
    """The reranker's deployment as a RerankClient."""

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        return await self._attempts.result(
            lambda: self._caller.value("rerank", _SCORES, query, list(passages), context=context)
        )


class KnowledgeHandle:
    """The knowledge base's deployment as a KnowledgeClient."""

    def __init__(self, handle: DeploymentHandle[Any], inbox: Inbox | None = None) -> None:
        self._caller = Caller(handle, "the knowledge base", inbox)
        self._attempts = Attempts("the knowledge base")

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        return await self._attempts.result(
            lambda: self._caller.value("search", _SEARCH_RESULTS, query, context=context)
        )

    async def plan_sync(
        self, source: str, sha256_by_path: Mapping[str, str], context: RequestContext
    ) -> SyncPlan:
        plan: SyncPlan = await self._caller.call(
            "plan_sync", source, dict(sha256_by_path), context, context=context
        )
        return plan

    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        outcomes: tuple[DocumentOutcome, ...] = await self._caller.call(
            "put_documents", source, list(documents), context, context=context
        )
        return outcomes

    async def delete_documents(self, document_ids: Sequence[str], context: RequestContext) -> int:
        count: int = await self._caller.call("delete_documents", list(document_ids), context, context=context)
        return count

    async def sync_failed(self, source: str, reason: str, context: RequestContext) -> None:
        await self._caller.call("sync_failed", source, reason, context, context=context)

    async def begin_sync(self, source: str, context: RequestContext) -> None:
        await self._caller.call("begin_sync", source, context, context=context)

    async def rebuild(self, context: RequestContext, *, reindexes: bool = True) -> RebuildReport:
        report: RebuildReport = await self._caller.call(
            "rebuild", context, context=context, reindexes=reindexes
        )
        return report

    async def list_documents(
        self, context: RequestContext, *, source: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[DocumentInfo, ...]:
        documents: tuple[DocumentInfo, ...] = await self._caller.call(
            "list_documents", context, context=context, source=source, after=after, limit=limit
        )
        return documents

    async def status(self, context: RequestContext) -> KnowledgeStatus:
        status: KnowledgeStatus = await self._caller.call("status", context, context=context)
        return status

    async def submit(self, source: str, documents: Sequence[DocumentInput], context: RequestContext) -> Job:
        job: Job = await self._caller.call("submit", source, list(documents), context, context=context)
        return job

    async def job(self, job_id: str, context: RequestContext) -> Job:
        job: Job = await self._caller.call("job", job_id, context, context=context)
        return job

    async def jobs(self, context: RequestContext) -> tuple[Job, ...]:
        jobs: tuple[Job, ...] = await self._caller.call("jobs", context, context=context)
        return jobs

    async def cancel_job(self, job_id: str, context: RequestContext) -> Job:
        job: Job = await self._caller.call("cancel_job", job_id, context, context=context)
        return job

    async def check_health(self) -> None:
        await self._caller.call("check_ready")


class AgentHandle:
    """An agent's deployment as an AgentClient."""

    def __init__(
        self,
        handle: DeploymentHandle[Any],
        name: str,
        inbox: Inbox | None = None,
        *,
        own_calls_per_s: float = math.inf,
    ) -> None:
        """`own_calls_per_s` as of `Caller`."""
        self._caller = Caller(handle, name, inbox, own_calls_per_s=own_calls_per_s)
        self._attempts = Attempts(name)

    def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncGenerator[AgentEvent]:
        run = self._attempts.stream(lambda: self._caller.stream("answer", question, context=context))
        return _decoded(run)

    async def check_health(self) -> None:
        await self._caller.check_health()


class DeclaredAgentHandle(AgentHandle):
    """A declared agent's deployment as a DeclaredAgentClient."""

    def resume(self, decision: ApprovalDecision, context: RequestContext) -> AsyncGenerator[AgentEvent]:
        # Once: a decision that may have been taken cannot be sent again.
        return _decoded(self._caller.stream("resume", decision, context=context))


async def _decoded(run: AsyncGenerator[bytes]) -> AsyncGenerator[AgentEvent]:
    async with aclosing(run) as lines:
        async for data in lines:
            for event in decode_events(data):
                yield event
