"""The contracts of engines, from the outside in.

A `ModelEngine` speaks OpenAI at its edge: a request body in, a JSON document or server-sent events
out. It is what a deployment hosts and what a handle to a deployment looks like to its callers.
Engines that make text or vectors themselves implement the smaller `TextGenerator` or `TextEmbedder`
and get the edge from `chat_edge` or `embedding_edge`; an engine that is a server of its own
(`external`, later vLLM) implements `ModelEngine` and passes bytes through.

Errors are those of `serve_app.errors`. Cancelling the caller's task, or closing the stream, stops
the work and frees the slot.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from serve_app.messages import Embeddings, Endpoint, JsonObject, ModelCard, RequestContext
from serve_app.openai_api.parts import TokenLogprob, ToolCall
from serve_app.openai_api.requests import ChatMessage


class ModelClient(Protocol):
    """A served model, as the ingress and the agent see it."""

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        """The response's JSON document, encoded.

        Raises:
            BadRequest: a field that this model does not serve; it names the field.
            InputTooLong: the input does not fit into the context; it names both numbers.
            Overloaded: no slot and no place in the queue.
            DeadlineExceeded: the time was over before the answer was complete.
            EngineFailed, Unavailable: the engine or what it depends on broke.
        """
        ...

    def stream(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> AsyncIterator[bytes]:
        """Server-sent events, one or several whole events in each item, the last one `[DONE]`.

        Raises as `respond`. An error before the first event is raised; a later one is raised too, and
        the ingress tells the client with an error event.
        """
        ...


class ModelEngine(ModelClient, Protocol):
    """A model in this process."""

    def card(self) -> ModelCard: ...

    async def check_health(self) -> None:
        """Return if the engine can work; raise EngineFailed or Unavailable, with the reason, if not."""
        ...

    async def close(self) -> None:
        """Stop the work under way and free memory and threads. Closing twice is fine."""
        ...


class EmbeddingClient(ModelClient, Protocol):
    """A served embedding model; besides OpenAI's edge it has a typed twin for callers in the graph."""

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        """Vectors for texts (or for token ids), in their order.

        Args:
            texts: any number of them; none gives a (0, dim) array.
            context: whose request this is, and until when.
            is_query: put the model's query prefix in front; passages go without it.
            truncate: cut what is over the model's limit instead of raising InputTooLong.
        """
        ...

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        """Tokens of each text without special tokens, by the model's own tokenizer."""
        ...

    async def describe(self) -> ModelCard:
        """The model's card, with `dim`, `context_tokens` and `embedding_id` set."""
        ...


class EmbeddingEngine(ModelEngine, EmbeddingClient, Protocol):
    """An embedding model in this process."""


# ---------------------------------------------------------------- what engines of our own implement


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen and when to end; names and defaults are OpenAI's and llama.cpp's."""

    max_tokens: int | None = None  # None: up to the end of the context
    temperature: float = 1.0  # 0: greedy
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0  # above 1: tokens of prompt and answer become less likely
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0  # the answer does not end by itself before it
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, what is added to its logit)
    top_logprobs: int | None = None  # None: no logprobs; 0: of the chosen tokens alone


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    parameters: JsonObject  # JSON schema of the arguments, which are an object
    declared: JsonObject  # as the caller wrote it; chat templates read it


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Tools that an answer may use; there is at least one."""

    tools: tuple[Tool, ...]
    is_required: bool = False  # the answer is nothing but calls
    is_parallel: bool = True  # several calls in one answer


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One text to generate: from a conversation, or from a prompt as it stands. Exactly one is set.

    What follows `sampling` is only asked of engines whose card names it among its `abilities`.
    """

    messages: tuple[ChatMessage, ...] | None
    prompt: str | tuple[int, ...] | None
    sampling: SamplingParams
    tools: ToolUse | None = None
    schema: JsonObject | None = None  # the answer is JSON of this schema
    template_options: Mapping[str, Any] = field(default_factory=dict)  # variables of the chat template


FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A piece of generated text. The last one carries `finish_reason` and the token counts.

    `text` may be empty: a token can be half of a UTF-8 character, or be held back as the possible
    start of a stop string.
    """

    text: str
    finish_reason: FinishReason | None = None
    num_prompt_tokens: int = 0  # on the last chunk
    num_completion_tokens: int = 0  # on the last chunk
    num_cached_tokens: int = 0  # on the last chunk: prompt tokens that were not computed again
    reasoning: str = ""  # what the model thought before it answered; it comes before `text`
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()  # of every token since the last chunk, if they were asked for


@runtime_checkable
class TextGenerator(Protocol):
    """Makes text. Knows nothing of JSON or HTTP."""

    def card(self) -> ModelCard: ...

    def generate(self, request: GenerationRequest, context: RequestContext) -> AsyncIterator[TextChunk]:
        """Chunks as they are made. Closing the iterator stops the work within one step of the engine.

        Raises as `ModelClient.respond`.
        """
        ...

    async def check_health(self) -> None: ...

    async def close(self) -> None: ...


@runtime_checkable
class TextEmbedder(Protocol):
    """Makes vectors. Knows nothing of JSON or HTTP; signatures as in EmbeddingClient."""

    def card(self) -> ModelCard: ...

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings: ...

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]: ...

    async def check_health(self) -> None: ...

    async def close(self) -> None: ...
