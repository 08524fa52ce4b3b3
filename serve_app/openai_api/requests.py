"""Request bodies of OpenAI's API, as far as every engine needs to agree on them.

Unknown fields are kept and passed on: an engine may know more of the API than we do. Wrong types
are refused with the field's name. Checked against the API reference of openai 2.54 and 3.x.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from serve_app.errors import BadRequest
from serve_app.messages import JsonObject


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


_BodyT = TypeVar("_BodyT", bound=_Body)

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Temperature = Annotated[float, Field(ge=0.0, le=2.0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]


class TextPart(_Body):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class OtherPart(_Body):
    """An image, a sound, a file: passed on to engines that take them."""

    type: str


class ChatMessage(_Body):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart | OtherPart] | None = None

    def text(self) -> str:
        """The content as plain text.

        Raises:
            BadRequest: there is a part that is not text.
        """
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        texts = []
        for part in self.content:
            if not isinstance(part, TextPart):
                raise BadRequest(f"this model takes text only, not content of type {part.type!r}", "messages")
            texts.append(part.text)
        return "".join(texts)


class StreamOptions(_Body):
    """What a stream carries besides text."""

    include_usage: bool = False


class _Sampled(_Body):
    """Fields that chat and plain completions share."""

    model: ModelName
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: int | None = None
    min_p: Probability | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    ignore_eos: bool = False
    user: str | None = None

    def stop_strings(self) -> tuple[str, ...]:
        """`stop` as a tuple; empty strings stop nothing and are left out."""
        if self.stop is None:
            return ()
        stops = [self.stop] if isinstance(self.stop, str) else self.stop
        return tuple(stop for stop in stops if stop)


class ChatCompletionRequest(_Sampled):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    logit_bias: dict[str, float] | None = None


class CompletionRequest(_Sampled):
    """POST /v1/completions."""

    prompt: str | list[int] | list[str] | list[list[int]]
    echo: bool = False
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    suffix: str | None = None


class EmbeddingRequest(_Body):
    """POST /v1/embeddings. `truncate` is ours: cut what is over the limit instead of refusing it."""

    model: ModelName
    input: str | list[int] | list[str] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    truncate: bool = False
    input_type: Literal["query", "passage"] | None = None
    user: str | None = None


_CHAT: TypeAdapter[ChatCompletionRequest] = TypeAdapter(ChatCompletionRequest)
_COMPLETION: TypeAdapter[CompletionRequest] = TypeAdapter(CompletionRequest)
_EMBEDDING: TypeAdapter[EmbeddingRequest] = TypeAdapter(EmbeddingRequest)


def parse_chat(body: JsonObject) -> ChatCompletionRequest:
    return _parse(_CHAT, body)


def parse_completion(body: JsonObject) -> CompletionRequest:
    return _parse(_COMPLETION, body)


def parse_embedding(body: JsonObject) -> EmbeddingRequest:
    return _parse(_EMBEDDING, body)


def _parse(adapter: TypeAdapter[_BodyT], body: JsonObject) -> _BodyT:
    try:
        return adapter.validate_python(body)
    except ValidationError as exc:
        raise bad_request(exc) from exc


def bad_request(exc: ValidationError) -> BadRequest:
    """The first fault of a body as a BadRequest that names the field, as `messages.0.role`."""
    first = exc.errors(include_url=False, include_input=False)[0]
    # Branches of a union are named by pydantic in brackets or by type; they are no part of the path.
    path = [str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier()]
    field = ".".join(path)
    return BadRequest(f"{field or 'body'}: {first['msg']}", field or None)
