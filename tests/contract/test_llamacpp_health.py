"""What llama.cpp engines do when their weights change under them, with real models whose files are overwritten."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from configs.schema import FileWeights, LlamaCppEmbedder, LlamaCppModel
from serve_app.engines.base import GenerationRequest, SamplingParams
from serve_app.engines.embedding.embedder import BatchingEmbedder
from serve_app.engines.llamacpp.chat import LlamaCppGenerator, open_llamacpp_chat
from serve_app.engines.llamacpp.embed import open_llamacpp_embedder
from serve_app.errors import EngineFailed
from serve_app.messages import RequestContext

HEALTH: dict[str, Any] = {"scaling": {"health": {"canary_period_s": 1e6, "max_failures": 2}}}

Overwrite = Callable[[Path, str, float], None]


@pytest.fixture
def overwrite() -> Overwrite:
    """Multiplies a tensor of a file in place, so that whoever has mapped the file sees it."""

    def write(path: Path, name: str, factor: float) -> None:
        (tensor,) = [one for one in gguf.GGUFReader(path).tensors if one.name == name]
        values = np.memmap(path, np.float32, "r+", int(tensor.data_offset), (int(tensor.n_elements),))
        values *= np.float32(factor)
        values.flush()

    return write


@pytest.fixture
def stories(stories_gguf: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(stories_gguf, tmp_path / "stories.gguf"))


@pytest.fixture
async def generator(stories: Path, tmp_path: Path) -> AsyncIterator[LlamaCppGenerator]:
    weights = FileWeights(path=str(stories))
    config = LlamaCppModel.model_validate(
        {"engine": "llamacpp", "name": "stories", "weights": weights, "context_tokens": 512, **HEALTH}
    )
    engine = open_llamacpp_chat(config, tmp_path, 1)
    yield engine
    await engine.close()


async def text(engine: LlamaCppGenerator, context: RequestContext) -> str:
    request = GenerationRequest(None, "Once upon a time", SamplingParams(max_tokens=8, temperature=0.0))
    return "".join([chunk.text async for chunk in engine.generate(request, context)])


async def test_a_healthy_engine_answers_its_canary_the_same_again_and_again(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    for _ in range(3):
        generator._canary._asked_s = None  # due at once
        await generator.check_health()
        assert await text(generator, context) == ", there was a little girl"
    assert generator._canary._first


async def test_weights_that_change_under_the_engine_are_found_by_the_canary(
    generator: LlamaCppGenerator, stories: Path, context: RequestContext, overwrite: Overwrite
) -> None:
    await generator.check_health()
    overwrite(stories, "blk.0.attn_v.weight", -3.0)
    assert await text(generator, context)  # numbers they are, only other ones
    await generator.check_health()  # not due
    generator._canary._asked_s = None
    await generator.check_health()
    with pytest.raises(EngineFailed, match="stories answers the same question otherwise than at its start"):
        await generator.check_health()


async def test_logits_that_are_no_numbers_fail_the_request_and_then_the_engine(
    generator: LlamaCppGenerator, stories: Path, context: RequestContext, overwrite: Overwrite
) -> None:
    await generator.check_health()
    overwrite(stories, "output_norm.weight", float("nan"))
    for _ in range(2):
        await generator.check_health()
        with pytest.raises(EngineFailed, match="logits whose sum is nan"):
            await text(generator, context)
    with pytest.raises(EngineFailed, match=r"stories failed 2 times in a row.* nan"):
        await generator.check_health()


async def test_logits_that_are_all_zero_are_garbage_too(
    generator: LlamaCppGenerator, stories: Path, context: RequestContext, overwrite: Overwrite
) -> None:
    overwrite(stories, "output_norm.weight", 0.0)
    with pytest.raises(EngineFailed, match="logits whose sum is 0"):
        await text(generator, context)


async def test_real_work_goes_before_the_canary(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    stream = generator.generate(
        GenerationRequest(None, "Once", SamplingParams(max_tokens=400, temperature=0.0, ignore_eos=True)),
        context,
    )
    await anext(stream)
    await generator.check_health()
    assert generator._canary._asked_s is None
    await stream.aclose()  # type: ignore[attr-defined]
    await generator.check_health()
    assert generator._canary._asked_s is not None


@pytest.fixture
async def embedder(minilm_home: Path, tmp_path: Path) -> AsyncIterator[tuple[BatchingEmbedder, Path]]:
    (original,) = (minilm_home / "models").rglob("*minilm*.gguf")
    path = Path(shutil.copy(original, tmp_path / "minilm.gguf"))
    config = LlamaCppEmbedder.model_validate(
        {"engine": "llamacpp", "name": "minilm", "weights": FileWeights(path=str(path)), **HEALTH}
    )
    engine = open_llamacpp_embedder(config, tmp_path, 1)
    yield engine, path
    await engine.close()


async def test_vectors_that_turn_are_found_by_the_canary(
    embedder: tuple[BatchingEmbedder, Path], context: RequestContext, overwrite: Overwrite
) -> None:
    engine, path = embedder
    await engine.check_health()
    engine._canary._asked_s = None
    await engine.check_health()
    overwrite(path, "token_embd_norm.weight", -1.0)
    engine._canary._asked_s = None
    await engine.check_health()
    with pytest.raises(EngineFailed, match="minilm answers the same question otherwise"):
        await engine.check_health()


async def test_vectors_that_are_no_numbers_fail_the_request_and_then_the_engine(
    embedder: tuple[BatchingEmbedder, Path], context: RequestContext, overwrite: Overwrite
) -> None:
    engine, path = embedder
    await engine.check_health()
    overwrite(path, "token_embd_norm.weight", float("nan"))
    for _ in range(2):
        with pytest.raises(EngineFailed, match="a vector of norm nan"):
            await engine.embed(["words"], context)
    with pytest.raises(EngineFailed, match="minilm failed 2 times in a row"):
        await engine.check_health()
