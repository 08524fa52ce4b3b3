"""Request bodies of OpenAI's API, as far as every engine needs to agree on them.

Unknown fields are kept and passed on: an engine may know more of the API than we do. Wrong types
are refused with the field's name. Checked against the API reference of openai 2.54 and 3.x.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from serve_app.errors import BadRequest
from serve_app.messages import JsonObject


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


ModelT = TypeVar("ModelT", bound=BaseModel)

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Temperature = Annotated[float, Field(ge=0.0, le=2.0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]
# Bounds that an engine in C can hold; anything above is a mistake, and better named than wrapped round.
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenName = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,10}$")]  # a token id as a key of JSON
TokenCount = Annotated[int, Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]  # OpenAI's own bounds


class TextPart(_Body):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class OtherPart(_Body):
    """An image, a sound, a file: passed on to engines that take them."""

    type: str

    @field_validator("type")
    @classmethod
    def _is_other(cls, value: str) -> str:
        if value == "text":
            raise ValueError("a part of type 'text' needs a text")
        return value


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
    max_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None  # -1 and 0: off
    min_p: Probability | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    ignore_eos: bool = False
    min_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0.0, le=2.0)] | None = None  # 1: off
    logit_bias: dict[TokenName, Annotated[float, Field(ge=-100.0, le=100.0)]] | None = None
    response_format: dict[str, Any] | None = None
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
    max_completion_tokens: TokenCount | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: Annotated[str, StringConstraints(max_length=32)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None


class CompletionRequest(_Sampled):
    """POST /v1/completions."""

    prompt: str | list[TokenId] | list[str] | list[list[TokenId]]
    echo: bool = False
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    suffix: str | None = None


class EmbeddingRequest(_Body):
    """POST /v1/embeddings. `truncate` is ours: cut what is over the limit instead of refusing it."""

    model: ModelName
    input: str | list[TokenId] | list[str] | list[list[TokenId]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    truncate: bool = False
    input_type: Literal["query", "passage"] | None = None
    user: str | None = None


def parse_chat(body: JsonObject) -> ChatCompletionRequest:
    return parse(ChatCompletionRequest, body)


def parse_completion(body: JsonObject) -> CompletionRequest:
    return parse(CompletionRequest, body)


def parse_embedding(body: JsonObject) -> EmbeddingRequest:
    return parse(EmbeddingRequest, body)


def parse(model: type[ModelT], body: JsonObject) -> ModelT:
    """The body as `model` says it must be.

    Raises:
        BadRequest: the first fault, with the field's name.
    """
    try:
        return model.model_validate(body)
    except ValidationError as exc:
        raise bad_request(exc, body) from exc


def bad_request(exc: ValidationError, body: JsonObject) -> BadRequest:
    """The first field at fault as a BadRequest that names it, as `messages.0.role`.

    A field of several allowed types has a fault for each of them; the one that got furthest into the
    body says most.
    """
    faults = exc.errors(include_url=False, include_input=False, include_context=False)
    paths = [_path(fault["loc"], body) for fault in faults if fault["loc"][:1] == faults[0]["loc"][:1]]
    furthest = max(range(len(paths)), key=lambda index: _progress(paths[index]))
    field = ".".join(str(part) for part in paths[furthest])
    return BadRequest(f"{field or 'body'}: {faults[furthest]['msg']}", field or None)


def _progress(path: list[int | str]) -> tuple[int, list[int]]:
    """Deeper is further; at the same depth, later in its list."""
    return len(path), [part for part in path if isinstance(part, int)]


def _path(loc: tuple[int | str, ...], body: JsonObject) -> list[int | str]:
    """The part of an error's location that is in the body: pydantic also names branches of unions."""
    path: list[int | str] = []
    node: Any = body
    for position, part in enumerate(loc):
        is_last = position == len(loc) - 1
        if isinstance(node, dict) and (part in node or is_last):
            path.append(part)
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            path.append(part)
            node = node[part]
    return path
