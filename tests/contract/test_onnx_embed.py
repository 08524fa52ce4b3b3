"""What the ONNX Runtime embedder promises beyond the contract of all embedders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.schema import AutoEmbedder, CatalogueWeights, OnnxEmbedder
from serve_app.engines.embedding.embedder import BatchingEmbedder
from serve_app.engines.embedding.fastest import ensure_choice, open_fastest_embedder
from serve_app.engines.onnx.embed import open_files, open_onnx_embedder
from serve_app.engines.onnx.encoder import OnnxEncoder
from serve_app.errors import ConfigError, EngineFailed
from serve_app.messages import RequestContext
from serve_app.model_cache.cache import EncoderFiles, ensure_encoder
from serve_app.model_cache.choice import MIN_COSINE

MINILM = CatalogueWeights(catalogue="all-minilm-l6-v2")


def config(**changes: Any) -> OnnxEmbedder:
    return OnnxEmbedder(**{"engine": "onnx", "name": "minilm", "weights": MINILM} | changes)


@pytest.fixture(scope="module")
def files(minilm_home: Path) -> EncoderFiles:
    return ensure_encoder(MINILM, minilm_home)


@pytest.fixture
async def embedder(files: EncoderFiles) -> AsyncIterator[BatchingEmbedder]:
    engine = open_files(config(), files, 1)
    yield engine
    await engine.close()


async def test_the_card_is_that_of_the_same_weights_on_llamacpp(embedder: BatchingEmbedder) -> None:
    card = embedder.card()
    assert (card.engine, card.dim, card.context_tokens) == ("onnx", 384, 256)
    assert card.embedding_id == "all-minilm-l6-v2-b9a0018dff09"


async def test_padding_changes_no_vector(files: EncoderFiles, context: RequestContext) -> None:
    texts = [f"{'reef ' * length}and sea" for length in range(1, 200, 7)]
    wide, narrow = open_files(config(max_step_tokens=16384), files, 1), open_files(config(), files, 1)
    try:
        padded = (await wide.embed(texts, context)).vectors
        alone = np.concatenate([(await narrow.embed([text], context)).vectors for text in texts])
    finally:
        await wide.close()
        await narrow.close()
    assert np.allclose(padded, alone, atol=1e-5)


async def test_a_failing_step_fails_its_callers_and_nobody_else(
    embedder: BatchingEmbedder, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(OnnxEncoder, "encode", lambda *_: np.full((1, 384), np.nan, dtype=np.float32))
        with pytest.raises(EngineFailed, match="norm nan"):
            await embedder.embed(["text"], context)
    assert (await embedder.embed(["text"], context)).num_tokens == (3,)


def test_what_onnx_runtime_refuses_is_an_error_of_the_engine(files: EncoderFiles) -> None:
    encoder = OnnxEncoder(files.onnx, 1, 256)
    with pytest.raises(EngineFailed, match="ONNX Runtime failed on 1 texts"):
        encoder.encode([np.asarray([101, 999_999, 102], dtype=np.int32)])  # no such word
    encoder.close()


@pytest.mark.parametrize("content", [b"", b"GGUF", b"\x08\x08\x12\x05manta"])
def test_a_damaged_file_is_named(files: EncoderFiles, tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.onnx: "):
        open_files(config(), EncoderFiles(files.gguf, broken), 1)


def test_a_window_above_the_trained_one_is_refused(files: EncoderFiles) -> None:
    with pytest.raises(ConfigError, match=r"context_tokens 257 is above the 256 of all-minilm"):
        open_files(config(context_tokens=257), files, 1)


def test_a_model_without_original_weights_is_refused(tmp_path: Path) -> None:
    weights = CatalogueWeights(catalogue="qwen2.5-0.5b-instruct")
    with pytest.raises(ConfigError, match=r"qwen2\.5-0\.5b-instruct cannot be had for ONNX Runtime"):
        open_onnx_embedder(config(weights=weights), tmp_path, 1)


async def test_auto_measures_once_and_runs_on_what_it_chose(
    minilm_home: Path, tmp_path: Path, context: RequestContext
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    models = home / "models"
    models.mkdir()
    ensure_encoder(MINILM, minilm_home)
    for path in (minilm_home / "models").glob("all-minilm-l6-v2*"):
        if not path.name.endswith("-threads.json"):
            (models / path.name).symlink_to(path)
    auto = AutoEmbedder(engine="auto", name="minilm", weights=MINILM, num_threads=1)
    engine = open_fastest_embedder(auto, home, 2)
    try:
        choice = ensure_choice(MINILM, home, 1)
        assert (models / "all-minilm-l6-v2.1-threads.json").exists()
        assert engine.card().engine == choice.best.engine
        assert {one.engine for one in choice.measured} == {"onnx", "llamacpp"}
        assert all(one.min_cosine >= MIN_COSINE for one in choice.measured)
        assert (await engine.embed(["reef"], context)).vectors.shape == (1, 384)
    finally:
        await engine.close()
