"""DeploymentHandles as the protocols that the rest of the code is written against.

This is the seam between replicas. Ray's faults become errors of our tree here and nowhere else; a
caller that leaves cancels the call below it, which ends the work on the other side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException, RequestCancelledError
from ray.serve.handle import DeploymentHandle

from serve_app.errors import DeadlineExceeded, EngineFailed, MantaError, Overloaded, Unavailable
from serve_app.messages import (
    AgentEvent,
    AgentQuestion,
    DocumentInfo,
    DocumentInput,
    DocumentOutcome,
    Embeddings,
    Endpoint,
    JsonObject,
    KnowledgeStatus,
    ModelCard,
    RequestContext,
    SearchQuery,
    SearchResult,
    SyncPlan,
)
from serve_app.streams import next_within


class Caller:
    """Calls methods of one deployment."""

    def __init__(self, handle: DeploymentHandle[Any], name: str) -> None:
        self._handle = handle
        self._streaming = handle.options(stream=True)
        self._name = name

    async def call(
        self, method: str, *args: Any, context: RequestContext | None = None, **kwargs: Any
    ) -> Any:
        """The method's result, within the context's deadline."""
        if context is not None:
            context.deadline.check(f"calling {self._name}")
        response = getattr(self._handle, method).remote(*args, **kwargs)
        try:
            async with asyncio.timeout(None if context is None else context.deadline.remaining_s()):
                return await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        # Before TimeoutError, which the other side's own time-out is too once it has crossed.
        except (RayError, RayServeException, MantaError) as exc:
            raise _translated(exc, self._name) from exc
        except TimeoutError as exc:
            response.cancel()
            raise DeadlineExceeded(f"the request's time was over at: {self._name}", self._name) from exc

    async def stream(self, method: str, *args: Any, context: RequestContext) -> AsyncIterator[Any]:
        """The method's items; each wait is within the context's deadline."""
        context.deadline.check(f"calling {self._name}")
        response = getattr(self._streaming, method).remote(*args)
        is_over = False
        try:
            while True:
                item = await next_within(response, context.deadline, self._name)
                yield item
        except StopAsyncIteration:
            is_over = True
        except (RayError, RayServeException, MantaError) as exc:
            raise _translated(exc, self._name) from exc
        finally:
            if not is_over:
                response.cancel()

    async def check_health(self) -> None:
        """Raise what is wrong with a replica of the deployment. Wakes one that is scaled to zero."""
        await self.call("check_health")


class ModelHandle:
    """A chat model's deployment as a ModelClient."""

    def __init__(self, handle: DeploymentHandle[Any], name: str) -> None:
        self._caller = Caller(handle, name)

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        document: bytes = await self._caller.call("respond", endpoint, body, context, context=context)
        return document

    def stream(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> AsyncIterator[bytes]:
        return self._caller.stream("stream", endpoint, body, context, context=context)

    async def check_health(self) -> None:
        await self._caller.check_health()


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
        embeddings: Embeddings = await self._caller.call(
            "embed", list(texts), context, context=context, is_query=is_query, truncate=truncate
        )
        return embeddings

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        counts: list[int] = await self._caller.call("count_tokens", list(texts), context, context=context)
        return counts

    async def describe(self) -> ModelCard:
        card: ModelCard = await self._caller.call("describe")
        return card


class KnowledgeHandle:
    """The knowledge base's deployment as a KnowledgeClient."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._caller = Caller(handle, "the knowledge base")

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        result: SearchResult = await self._caller.call("search", query, context, context=context)
        return result

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

    async def check_health(self) -> None:
        await self._caller.call("check_ready")


class AgentHandle:
    """An agent's deployment as an AgentClient."""

    def __init__(self, handle: DeploymentHandle[Any], name: str) -> None:
        self._caller = Caller(handle, name)

    def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        return self._caller.stream("answer", question, context, context=context)

    async def check_health(self) -> None:
        await self._caller.check_health()


def _translated(exc: Exception, name: str) -> MantaError:
    """The error of our tree that a fault of Ray or of the other side means."""
    if isinstance(exc, RayTaskError) and isinstance(exc.cause, MantaError):
        return exc.cause
    if isinstance(exc, MantaError):
        return exc
    if isinstance(exc, BackPressureError):
        return Overloaded(f"{name} has no free place in its queue", exc.retry_after_s or 1.0)
    if isinstance(exc, RequestCancelledError):
        return Unavailable(f"{name} cancelled the request")
    if isinstance(exc, RayTaskError):
        return EngineFailed(f"{name} failed: {exc.cause.__class__.__name__}: {exc.cause}")
    return Unavailable(f"{name} is not there: {exc.__class__.__name__}")
