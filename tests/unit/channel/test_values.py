from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from serve_app.channel.values import Values, encode, values_of
from serve_app.messages import Embeddings, Passage, Scores, SearchResult

VECTORS = np.arange(6, dtype=np.float32).reshape(2, 3)
PASSAGE = Passage(
    "id",
    "document",
    "source",
    "path.md",
    "Title",
    ("Title", "Part"),
    "Größe 🜨",
    3,
    metadata={"lang": "de"},
    cosine=0.5,
)


def test_values_arrive_as_they_were() -> None:
    found = SearchResult((PASSAGE, PASSAGE), ("lexical_only",), 0.25, "model@1", {"embed": 1.5}, ("old",))
    assert Values(SearchResult).decode(encode(found)) == found
    scores = Scores((0.0, 0.125, 1.0), 30, 1)
    assert Values(Scores).decode(encode(scores)) == scores


@pytest.mark.parametrize("vectors", [VECTORS, VECTORS[:0], VECTORS.T, VECTORS[:, ::2]])
def test_vectors_keep_their_shape_and_every_bit(vectors: np.ndarray) -> None:
    sent = Embeddings(vectors, (7, 9), 1, "model@1")
    arrived = Values(Embeddings).decode(encode(sent))
    assert arrived.vectors.dtype == np.float32
    assert arrived.vectors.shape == vectors.shape
    assert arrived.vectors.tobytes() == vectors.tobytes()
    assert (arrived.num_tokens, arrived.num_truncated, arrived.embedding_id) == ((7, 9), 1, "model@1")


def test_a_peer_of_another_version_may_say_more_or_less() -> None:
    @dataclass
    class Newer:
        values: tuple[float, ...]
        calibrated: bool

    assert Values(Scores).decode(encode(Newer((0.5,), calibrated=True))) == Scores((0.5,))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xc1",
        encode(Scores((0.5,)))[:-1],
        encode({"values": ["high"]}),
        encode({"values": "\xff"}).replace("\xff".encode(), b"\xff\xfe"),
        encode([[[]]]),
    ],
)
def test_what_is_no_such_value_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Values(Scores).decode(document)


@pytest.mark.parametrize(
    "vectors",
    [
        ["<f4", [2, 3], b"\0" * 23],  # a byte short
        ["<f4", [2, -3], b"\0" * 24],
        ["|O", [1], b"\0" * 8],  # pointers
        ["nonsense", [1], b"\0"],
        ["<f4", [1]],
        "vectors",
        None,
    ],
)
def test_what_is_no_array_is_refused(vectors: object) -> None:
    document = msgspec.msgpack.encode({"vectors": vectors, "num_tokens": []})
    with pytest.raises(ValueError, match=r"\w"):
        Values(Embeddings).decode(document)


@pytest.mark.parametrize("value", [object(), np.array([object()]), Scores((object(),))])  # type: ignore[arg-type]
def test_what_cannot_be_written_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="does not travel"):
        encode(value)


def test_a_large_value_goes_in_pieces() -> None:
    sent = Embeddings(np.ones((64, 1024), dtype=np.float32), (1,) * 64)

    async def work(text: str, *, times: int = 1) -> Embeddings:
        assert (text, times) == ("text", 1)
        return sent

    async def run() -> list[bytes]:
        return [piece async for piece in values_of(work)("text")]

    pieces = asyncio.run(run())
    assert len(pieces) == 5
    assert max(map(len, pieces)) == 64 << 10
    assert np.array_equal(Values(Embeddings).decode(b"".join(pieces)).vectors, sent.vectors)
    assert inspect.isasyncgenfunction(values_of(work))
