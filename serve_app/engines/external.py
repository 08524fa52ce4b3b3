"""Models behind somebody else's OpenAI-compatible endpoint.

Chat passes through: the request's body with the model's name over there, the response's bytes with
the name that the client used. Nothing else is read or changed, so an endpoint may know more of the
API than we do. Embeddings are decoded and checked, because vectors are stored.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np

from configs.schema import ExternalEmbedder, ExternalModel
from serve_app.engines.cards import embedder_card, model_card
from serve_app.engines.upstream import Upstream
from serve_app.errors import BadRequest, EngineFailed
from serve_app.messages import Embeddings, Endpoint, JsonObject, ModelCard, RequestContext, Vectors
from serve_app.streams import until_deadline

# Inside a JSON string quotes are escaped, so this finds keys and never a model's text.
_MODEL_FIELD = re.compile(rb'("model"\s*:\s*)"(?:[^"\\]|\\.)*"')

# Text Embeddings Inference takes 32 texts a request unless told otherwise; others take more.
_MAX_TEXTS_PER_REQUEST = 32


class ExternalEngine:
    """A ModelEngine that passes bytes through."""

    def __init__(self, config: ExternalModel) -> None:
        self._config = config
        self._upstream = Upstream(
            config.name,
            config.base_url,
            config.api_key,
            connect_timeout_s=config.connect_timeout_s,
            max_connections=config.scaling.max_ongoing_requests,
        )

    def card(self) -> ModelCard:
        return model_card(self._config)

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        sent, name = self._sent(endpoint, body)
        return _named(await self._upstream.post(endpoint, sent, context.deadline), name)

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        sent, name = self._sent(endpoint, body)
        # A client that forgot `stream` still gets what it asked this method for.
        source = self._upstream.stream(endpoint, sent | {"stream": True})
        async with aclosing(until_deadline(source, context.deadline, self._config.name)) as frames:
            async for frame in frames:
                yield _named(frame, name)

    async def check_health(self) -> None:
        await self._upstream.check_health()

    async def close(self) -> None:
        await self._upstream.close()

    def _sent(self, endpoint: Endpoint, body: JsonObject) -> tuple[JsonObject, bytes]:
        """The body for the endpoint, and the client's name for the model as JSON."""
        if endpoint not in self.card().endpoints:
            raise BadRequest(f"{self._config.name} does not serve /v1/{endpoint}", "model")
        name = body.get("model", self._config.name)
        return body | {"model": self._config.upstream_model}, json.dumps(name, ensure_ascii=False).encode()


class ExternalTextEmbedder:
    """A TextEmbedder over /v1/embeddings.

    There is no tokenizer here. `count_tokens` estimates, rather too much than too little, so that
    chunks cut by it fit; a text that is too long all the same is refused by the endpoint. Of several
    texts in a request the endpoint tells only the sum of tokens: it is exact, its split is estimated.
    """

    def __init__(self, config: ExternalEmbedder) -> None:
        self._config = config
        self._upstream = Upstream(
            config.name,
            config.base_url,
            config.api_key,
            connect_timeout_s=config.connect_timeout_s,
            max_connections=config.scaling.max_ongoing_requests,
        )

    def card(self) -> ModelCard:
        # Names the model, not its weights: an endpoint does not tell when those change.
        embedding_id = f"external:{self._config.base_url}:{self._config.upstream_model}:{self._config.dim}"
        return replace(embedder_card(self._config), embedding_id=embedding_id)

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        inputs: list[Any] = list(texts)
        if is_query and self._config.query_prefix:
            if not all(isinstance(text, str) for text in inputs):
                raise BadRequest("a query prefix needs text, not token ids", "input")
            inputs = [self._config.query_prefix + text for text in inputs]
        num_truncated = 0
        if truncate:
            cut = [_cut(text, self._config.context_tokens) for text in inputs]
            num_truncated = sum(len(after) < len(before) for before, after in zip(inputs, cut, strict=True))
            inputs = cut
        rows: list[Vectors] = [np.zeros((0, self._config.dim), dtype=np.float32)]
        counts: list[int] = []
        for start in range(0, len(inputs), _MAX_TEXTS_PER_REQUEST):
            batch = inputs[start : start + _MAX_TEXTS_PER_REQUEST]
            vectors, num_tokens = await self._embed_batch(batch, context)
            rows.append(vectors)
            counts += _split(num_tokens, [_estimate(text) for text in batch])
        return Embeddings(np.concatenate(rows), tuple(counts), num_truncated)

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        return [_estimate(text) for text in texts]

    async def check_health(self) -> None:
        await self._upstream.check_health()

    async def close(self) -> None:
        await self._upstream.close()

    async def _embed_batch(self, batch: list[Any], context: RequestContext) -> tuple[Vectors, int]:
        body = {"model": self._config.upstream_model, "input": batch, "encoding_format": "base64"}
        content = await self._upstream.post(Endpoint.EMBEDDINGS, body, context.deadline)
        try:
            document = json.loads(content)
            data = sorted(document["data"], key=lambda item: item["index"])
            indices = [item["index"] for item in data]
            rows = [_decode(item["embedding"]) for item in data]
            num_tokens = int(document["usage"]["prompt_tokens"])
        except (ValueError, KeyError, TypeError, binascii.Error) as exc:
            raise EngineFailed(
                f"{self._config.name}: the endpoint's answer is no list of embeddings: {exc}"
            ) from exc
        if indices != list(range(len(batch))):
            raise EngineFailed(f"{self._config.name}: {len(batch)} texts gave embeddings {indices}")
        return self._checked(rows), num_tokens

    def _checked(self, rows: list[Vectors]) -> Vectors:
        for row in rows:
            if row.shape != (self._config.dim,):
                raise EngineFailed(
                    f"{self._config.name} gave a vector of dimension {row.size};"
                    f" the configuration says {self._config.dim}"
                )
        vectors = np.stack(rows)
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if not np.all(np.isfinite(norms)) or not np.all(norms > 0):
            raise EngineFailed(f"{self._config.name} gave a vector with NaN, infinity, or of length zero")
        return np.asarray(vectors / norms, dtype=np.float32)


def _named(data: bytes, name: bytes) -> bytes:
    return _MODEL_FIELD.sub(lambda found: found[1] + b'"' + name[1:-1] + b'"', data)


def _decode(embedding: object) -> Vectors:
    """Base64 of little-endian float32; endpoints that do not know base64 send numbers."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float32)
    return np.asarray(embedding, dtype=np.float32)


_PIECE = re.compile(r"[A-Za-z]+|\d+|\s+|.", re.DOTALL)


def _estimate(text: str | Sequence[int]) -> int:
    """Tokens of a text, estimated high: four letters, two digits or any other character each."""
    if not isinstance(text, str):
        return len(text)
    count = 0
    for piece in _PIECE.findall(text):
        if piece[0].isascii() and piece[0].isalpha():
            count += math.ceil(len(piece) / 4)
        elif piece[0].isascii() and piece[0].isdigit():
            count += math.ceil(len(piece) / 2)
        elif not piece[0].isspace():
            count += 1
    return count


def _cut(text: Any, max_tokens: int) -> Any:
    """The longest beginning whose estimate is within the limit; token ids are cut exactly."""
    if _estimate(text) <= max_tokens:
        return text
    if not isinstance(text, str):
        return text[:max_tokens]
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _estimate(text[:middle]) <= max_tokens else (low, middle - 1)
    return text[:low]


def _split(total: int, shares: Sequence[int]) -> list[int]:
    """A sum in parts as near to the shares as whole numbers allow; the parts add up to it."""
    whole = sum(shares) or 1
    bounds = [round(total * sum(shares[: at + 1]) / whole) for at in range(len(shares))]
    return [bound - before for before, bound in zip([0, *bounds[:-1]], bounds, strict=True)]
