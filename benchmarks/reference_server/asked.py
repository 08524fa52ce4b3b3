"""What a request's body asks, as far as it changes the answer. Tokens are words, as the server counts them."""

from __future__ import annotations

import zlib
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from benchmarks.reference_server.http_messages import Refused

_MAX_MODEL_LEN = 1_048_576

T = TypeVar("T")

_NumTokens = Annotated[int, Meta(ge=1, le=_MAX_MODEL_LEN)]


class Asked(Struct):
    """One request to generate or to embed."""

    path: str
    model: str
    num_prompt_tokens: int
    is_chat: bool = False
    is_embedding: bool = False
    is_stream: bool = False
    max_tokens: int | None = None
    wants_usage: bool = False  # as a stream's last event
    num_inputs: int = 1
    wants_base64: bool = False


class _StreamOptions(Struct):
    include_usage: bool = False


class _Part(Struct):
    text: str = ""


class _Message(Struct):
    content: str | list[_Part] | None = None


class _Generating(Struct):
    model: str
    stream: bool | None = False
    max_tokens: _NumTokens | None = None
    stream_options: _StreamOptions | None = None


class _Chat(_Generating, kw_only=True):
    messages: Annotated[list[_Message], Meta(min_length=1)]
    max_completion_tokens: _NumTokens | None = None


class _Completion(_Generating, kw_only=True):
    prompt: str | list[Any]


class _Embedding(Struct):
    model: str
    input: str | list[Any]
    encoding_format: str = "float"


class _Tokenize(Struct):
    prompt: str | None = None
    messages: list[_Message] | None = None


_CHAT = msgspec.json.Decoder(_Chat)
_COMPLETION = msgspec.json.Decoder(_Completion)
_EMBEDDING = msgspec.json.Decoder(_Embedding)
_TOKENIZE = msgspec.json.Decoder(_Tokenize)


def read_chat(body: bytes) -> Asked:
    chat = _read(_CHAT, body)
    return Asked(
        path="/v1/chat/completions",
        model=chat.model,
        num_prompt_tokens=sum(len(_words(message)) for message in chat.messages),
        is_chat=True,
        is_stream=bool(chat.stream),
        max_tokens=chat.max_completion_tokens or chat.max_tokens,
        wants_usage=chat.stream_options is not None and chat.stream_options.include_usage,
    )


def read_completion(body: bytes) -> Asked:
    completion = _read(_COMPLETION, body)
    if _num_inputs(completion.prompt) != 1:
        raise Refused(400, "one prompt a request")
    return Asked(
        path="/v1/completions",
        model=completion.model,
        num_prompt_tokens=_num_tokens(completion.prompt),
        is_stream=bool(completion.stream),
        max_tokens=completion.max_tokens,
        wants_usage=completion.stream_options is not None and completion.stream_options.include_usage,
    )


def read_embedding(body: bytes) -> Asked:
    embedding = _read(_EMBEDDING, body)
    if embedding.encoding_format not in ("float", "base64"):
        raise Refused(400, f"encoding_format {embedding.encoding_format!r} is neither float nor base64")
    return Asked(
        path="/v1/embeddings",
        model=embedding.model,
        num_prompt_tokens=_num_tokens(embedding.input),
        is_embedding=True,
        num_inputs=_num_inputs(embedding.input),
        wants_base64=embedding.encoding_format == "base64",
    )


def tokenized(body: bytes) -> dict[str, Any]:
    """The answer of vLLM's /tokenize, with one token a word."""
    asked = _read(_TOKENIZE, body)
    if asked.prompt is not None:
        words = asked.prompt.split()
    elif asked.messages is not None:
        words = [word for message in asked.messages for word in _words(message)]
    else:
        raise Refused(400, "neither prompt nor messages")
    tokens = [zlib.crc32(word.encode()) for word in words]
    return {"count": len(words), "max_model_len": _MAX_MODEL_LEN, "tokens": tokens, "token_strs": None}


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as exc:  # not JSON, or not what the route takes
        raise Refused(400, str(exc)) from exc


def _words(message: _Message) -> list[str]:
    if isinstance(message.content, str):
        return message.content.split()
    return [word for part in message.content or () for word in part.text.split()]


def _num_inputs(value: str | list[Any]) -> int:
    """Of a text, a list of texts, a list of token ids or a list of lists of them."""
    return 1 if isinstance(value, str) or (value and isinstance(value[0], int)) else len(value)


def _num_tokens(value: str | list[Any]) -> int:
    if isinstance(value, str):
        return len(value.split())
    return sum(1 if isinstance(each, int) else _num_tokens(each) for each in value)
