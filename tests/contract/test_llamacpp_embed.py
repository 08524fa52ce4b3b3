"""What the llama.cpp embedder promises beyond the contract of all embedders."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.schema import CatalogueWeights, FileWeights, HubWeights, LlamaCppEmbedder
from serve_app.engines.embedding.embedder import BatchingEmbedder
from serve_app.engines.llamacpp.embed import open_llamacpp_embedder
from serve_app.engines.llamacpp.library import Batch, Context
from serve_app.errors import BadRequest, ConfigError, DeadlineExceeded, EngineFailed, Unavailable
from serve_app.messages import Deadline, RequestContext

MINILM = CatalogueWeights(catalogue="all-minilm-l6-v2")


def config(**changes: Any) -> LlamaCppEmbedder:
    return LlamaCppEmbedder(**{"engine": "llamacpp", "name": "minilm", "weights": MINILM} | changes)


@pytest.fixture
async def embedder(minilm_home: Path) -> AsyncIterator[BatchingEmbedder]:
    engine = open_llamacpp_embedder(config(query_prefix="query: "), minilm_home, 1)
    yield engine
    await engine.close()


class Gate:
    """Holds the engine's thread at its first step, and counts the steps and texts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_reached = threading.Event()
        self.may_go_on = threading.Event()
        self.num_texts: list[int] = []
        decode = Context.decode

        def gated(context: Context, batch: Batch) -> None:
            self.is_reached.set()
            assert self.may_go_on.wait(30)
            size = batch.struct.n_tokens
            self.num_texts.append(len(set(batch._sequences[:size].tolist())))
            decode(context, batch)

        monkeypatch.setattr(Context, "decode", gated)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.is_reached.wait, 30)


async def queued(embedder: BatchingEmbedder, num_requests: int) -> None:
    while embedder._thread._inbox.qsize() < num_requests:  # noqa: ASYNC110 (the queue tells nobody)
        await asyncio.sleep(0.001)


async def test_the_card_tells_the_trained_window_and_an_id_of_the_original_weights(
    embedder: BatchingEmbedder,
) -> None:
    card = embedder.card()
    assert (card.dim, card.context_tokens) == (384, 256)
    assert card.embedding_id == "all-minilm-l6-v2-b9a0018dff09"


async def test_a_special_token_in_a_text_is_text(embedder: BatchingEmbedder, context: RequestContext) -> None:
    assert await embedder.count_tokens(["[SEP]", "[CLS]", "plain"], context) == [3, 4, 1]


async def test_a_text_and_its_token_ids_have_the_same_vector(
    embedder: BatchingEmbedder, context: RequestContext
) -> None:
    text = "manta rays glide over the reef"
    ids = embedder._tokens._plain(text).tolist()
    complete = [101, *ids, 102]
    as_text = await embedder.embed([text], context)
    as_ids = await embedder.embed([ids, complete], context)
    assert as_ids.num_tokens == as_text.num_tokens * 2
    assert np.allclose(as_ids.vectors, as_text.vectors, atol=1e-3)
    with pytest.raises(BadRequest, match=r"input\.0\.1: minilm has tokens 0 to 30521, not 30522"):
        await embedder.embed([[101, 30522]], context)


async def test_queries_get_the_prefix(embedder: BatchingEmbedder, context: RequestContext) -> None:
    as_query = await embedder.embed(["reef"], context, is_query=True)
    spelled_out = await embedder.embed(["query: reef"], context)
    assert np.allclose(as_query.vectors, spelled_out.vectors, atol=1e-6)
    assert as_query.num_tokens == spelled_out.num_tokens


async def test_callers_share_steps(
    embedder: BatchingEmbedder, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first = asyncio.create_task(embedder.embed(["first"], context))
    await gate.reached()
    others = [asyncio.create_task(embedder.embed([f"text {number}"], context)) for number in range(20)]
    await queued(embedder, 20)
    gate.may_go_on.set()
    await asyncio.gather(first, *others)
    assert gate.num_texts == [1, 20]


async def test_who_left_or_is_too_late_costs_no_step(
    embedder: BatchingEmbedder, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first = asyncio.create_task(embedder.embed(["first"], context))
    await gate.reached()
    leaves = asyncio.create_task(embedder.embed(["a corpus " * 100] * 50, context))
    await queued(embedder, 1)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    with pytest.raises(DeadlineExceeded):
        await embedder.embed(["late"], replace(context, deadline=Deadline.after(0.1)))
    gate.may_go_on.set()
    await first
    await embedder.embed(["last"], context)
    assert gate.num_texts == [1, 1]
    assert embedder._num_waiting_tokens == 0


async def test_a_failing_step_fails_its_callers_and_nobody_else(
    embedder: BatchingEmbedder, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Context, "embedding", lambda *_: np.full(384, np.nan, dtype=np.float32))
        with pytest.raises(EngineFailed, match="norm nan"):
            await embedder.embed(["text"], context)
        broken.setattr(Context, "embedding", lambda *_: np.zeros(384, dtype=np.float32))
        with pytest.raises(EngineFailed, match=r"norm 0\.0"):
            await embedder.embed(["text"], context)
    assert (await embedder.embed(["text"], context)).num_tokens == (3,)
    await embedder.check_health()


async def test_a_dead_thread_is_unhealthy_and_answers_its_callers(
    embedder: BatchingEmbedder, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Context, "decode", die)
    with pytest.raises(EngineFailed, match="the engine thread of minilm died: MemoryError"):
        await embedder.embed(["text"], context)
    with pytest.raises(EngineFailed):
        await embedder.check_health()


async def test_small_windows_and_odd_limits_work(minilm_home: Path, context: RequestContext) -> None:
    # 100 tokens and 70 are no multiples of anything that ggml likes.
    engine = open_llamacpp_embedder(
        config(ubatch_tokens=70, max_batch_tokens=70, context_tokens=100), minilm_home, 1
    )
    try:
        found = await engine.embed(["reef " * 98] * 3 + ["short"] * 100, context)
        assert set(found.num_tokens) == {100, 3}
    finally:
        await engine.close()


async def test_a_window_above_the_trained_one_is_refused(minilm_home: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"embedder minilm: context_tokens 257 is above the 256 of all-minilm"
    ):
        open_llamacpp_embedder(config(context_tokens=257), minilm_home, 1)


async def test_a_model_without_pooling_is_no_embedder(stories_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no embedding model"):
        open_llamacpp_embedder(config(weights=FileWeights(path=str(stories_gguf))), tmp_path, 1)


async def test_weights_that_cannot_be_fetched_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    hub = HubWeights(repo="owner/name", file="m.gguf", revision="a" * 40, sha256="b" * 64)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 cannot be reached for owner/name/m\.gguf"):
        open_llamacpp_embedder(config(weights=hub), tmp_path, 1)


async def test_a_damaged_file_is_named_with_llamacpps_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + b"\xff" * 4000)
    with pytest.raises(ConfigError, match=r"broken\.gguf: llama\.cpp cannot load it: .*gguf"):
        open_llamacpp_embedder(config(weights=FileWeights(path=str(path))), tmp_path, 1)
    assert capfd.readouterr().err == ""


async def test_a_truncated_file_is_refused(minilm_home: Path, tmp_path: Path) -> None:
    whole = next((minilm_home / "models").glob("all-minilm-l6-v2.*.gguf"))
    path = tmp_path / "half.gguf"
    path.write_bytes(whole.read_bytes()[:20_000_000])
    with pytest.raises(ConfigError, match=r"half\.gguf: llama\.cpp cannot load it"):
        open_llamacpp_embedder(config(weights=FileWeights(path=str(path))), tmp_path, 1)
