"""The external embedder against endpoints on loopback, well-behaved and broken."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from scripted_endpoint import Endpointlike, Open, Script, whole

from configs.schema import ExternalEmbedder
from serve_app.engines.external import ExternalTextEmbedder
from serve_app.errors import EngineFailed
from serve_app.messages import RequestContext


def vectors_of(rows: list[list[float]], *, num_tokens: int = 10, as_numbers: bool = False) -> Script:
    """The rows as an endpoint gives them, last one first, because only `index` tells their order."""
    coded: list[Any] = [base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode() for row in rows]
    data = [{"index": at, "embedding": row} for at, row in enumerate(rows if as_numbers else coded)][::-1]
    return whole(200, json.dumps({"data": data, "usage": {"prompt_tokens": num_tokens}}).encode())


@pytest.fixture
async def embedder() -> AsyncIterator[Callable[..., ExternalTextEmbedder]]:
    made: list[ExternalTextEmbedder] = []

    def open_(port: int, **changes: Any) -> ExternalTextEmbedder:
        fields = {
            "base_url": f"http://127.0.0.1:{port}/v1",
            "upstream_model": "theirs",
            "dim": 8,
            "context_tokens": 16,
        } | changes
        made.append(ExternalTextEmbedder(ExternalEmbedder(name="remote", engine="external", **fields)))
        return made[-1]

    yield open_
    for one in made:
        await one.close()


ROW = [3.0, 4.0, 0, 0, 0, 0, 0, 0]
OTHER = [0, 0, 0, 0, 0, 0, 0, 2.0]


@pytest.mark.parametrize("as_numbers", [False, True])
async def test_vectors_are_normalised_and_in_order(
    endpoint: Open,
    embedder: Callable[..., ExternalTextEmbedder],
    context: RequestContext,
    *,
    as_numbers: bool,
) -> None:
    server = await endpoint(vectors_of([ROW, OTHER], as_numbers=as_numbers))
    made = await embedder(server.port, query_prefix="query: ").embed(
        ["a", "bbbb bbbb bbbb"], context, is_query=True
    )
    expected = np.array([[0.6, 0.8, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1.0]], dtype=np.float32)
    assert np.allclose(made.vectors, expected)
    assert made.vectors.dtype == np.float32
    assert sum(made.num_tokens) == 10
    sent = server.requests[0][2]
    assert sent == {
        "model": "theirs",
        "input": ["query: a", "query: bbbb bbbb bbbb"],
        "encoding_format": "base64",
    }


async def test_many_texts_go_in_several_requests(
    endpoint: Open, embedder: Callable[..., ExternalTextEmbedder], context: RequestContext
) -> None:
    async def script(server: Endpointlike, writer: asyncio.StreamWriter) -> None:
        num = len(server.requests[-1][2]["input"])
        await vectors_of([ROW] * num, num_tokens=num)(server, writer)

    server = await endpoint(script)
    made = await embedder(server.port).embed(["text"] * 70, context)
    assert made.vectors.shape == (70, 8)
    assert made.num_tokens == (1,) * 70
    assert [len(sent["input"]) for _, _, sent in server.requests] == [32, 32, 6]
    assert (await embedder(server.port).embed([], context)).vectors.shape == (0, 8)
    assert server.num_connections == 1


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (vectors_of([ROW[:4], OTHER]), "dimension 4; the configuration says 8"),
        (vectors_of([[float("nan")] * 8, OTHER]), "NaN"),
        (vectors_of([[float("inf")] * 8, OTHER]), "NaN, infinity"),
        (vectors_of([[0.0] * 8, OTHER]), "length zero"),
        (vectors_of([ROW]), r"2 texts gave embeddings \[0\]"),
        (whole(200, b"not json"), "no list of embeddings"),
        (whole(200, b'{"data":[]}'), "no list of embeddings"),
        (whole(200, b"[]"), "no list of embeddings"),
        (
            whole(200, b'{"data":[{"index":0,"embedding":"%%%"}],"usage":{"prompt_tokens":1}}'),
            "no list of embeddings",
        ),
        (
            whole(200, b'{"data":[{"index":0,"embedding":"YWJj"}],"usage":{"prompt_tokens":1}}'),
            "no list of embeddings",
        ),
    ],
)
async def test_what_is_no_vector_is_never_passed_on(
    endpoint: Open,
    embedder: Callable[..., ExternalTextEmbedder],
    context: RequestContext,
    script: Script,
    message: str,
) -> None:
    server = await endpoint(script)
    with pytest.raises(EngineFailed, match=message):
        await embedder(server.port).embed(["a", "b"], context)


async def test_a_long_text_is_cut_only_when_asked(
    endpoint: Open, embedder: Callable[..., ExternalTextEmbedder], context: RequestContext
) -> None:
    server = await endpoint(vectors_of([ROW, OTHER]))
    texts = ["short", "word " * 100]
    assert (await embedder(server.port).embed(texts, context)).num_truncated == 0
    assert server.requests[0][2]["input"] == texts
    assert (await embedder(server.port).embed(texts, context, truncate=True)).num_truncated == 1
    assert server.requests[1][2]["input"][1].split() == ["word"] * 16


async def test_the_card_names_the_vectors(embedder: Callable[..., ExternalTextEmbedder]) -> None:
    card = embedder(1).card()
    assert (card.dim, card.context_tokens) == (8, 16)
    assert card.embedding_id == "external:http://127.0.0.1:1/v1:theirs:8"


async def test_token_counts_are_estimates_on_the_high_side(
    embedder: Callable[..., ExternalTextEmbedder], context: RequestContext
) -> None:
    counts = await embedder(1).count_tokens(["", "the", "retrieval", "12345", "a, b!", "日本"], context)
    assert counts == [0, 1, 3, 3, 4, 2]
