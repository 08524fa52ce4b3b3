"""Adapters on a real vLLM: loaded, asked for by name, replaced, refused when they do not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.vllm_models.lora_adapter import write_adapter
from serve_app.adapters.base import Adapter
from serve_app.engines.vllm.adapters import LoadedAdapters
from serve_app.engines.vllm.engine import VllmEngine
from serve_app.errors import BadRequest, EngineRefused
from serve_app.messages import Deadline, Endpoint, RequestContext

ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What does the import statement do?"}],
    "temperature": 0,
    "max_tokens": 12,
}


@pytest.fixture
def context() -> RequestContext:
    return RequestContext(request_id="test", tenant="default", deadline=Deadline.after(300.0))


async def text(engine: VllmEngine, context: RequestContext, model: str) -> str:
    document = json.loads(await engine.respond(Endpoint.CHAT, ASKED | {"model": model}, context))
    assert document["model"] == model
    return str(document["choices"][0]["message"]["content"])


async def test_an_adapter_is_asked_for_by_its_name(
    engine: VllmEngine, context: RequestContext, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "first", seed=1)
    write_adapter(tmp_path / "second", seed=2)
    loaded = LoadedAdapters(engine.load_adapter, engine.unload_adapter, 8)
    await loaded.ensure(Adapter("poet", "tiny", str(tmp_path / "first")))
    plain, first = await text(engine, context, "tiny"), await text(engine, context, "poet")
    assert first != plain
    await loaded.ensure(Adapter("poet", "tiny", str(tmp_path / "second")))
    shutil.rmtree(tmp_path / "second")  # read once, and not at every step
    assert await text(engine, context, "poet") not in (plain, first)
    await loaded.retire(())
    with pytest.raises(EngineRefused, match="poet"):
        await text(engine, context, "poet")
    assert await text(engine, context, "tiny") == plain


@pytest.mark.parametrize(
    ("how", "why"), [({"rank": 16}, "rank is 16"), ({"num_inputs": 48}, "64 inputs.*48 in the adapter")]
)
async def test_one_that_does_not_fit_is_refused_by_name(
    engine: VllmEngine, context: RequestContext, tmp_path: Path, how: dict[str, int], why: str
) -> None:
    write_adapter(tmp_path / "odd", **how)
    with pytest.raises(BadRequest, match=f"the adapter odd does not fit: .*{why}"):
        await engine.load_adapter(Adapter("odd", "tiny", str(tmp_path / "odd")))
    assert await text(engine, context, "tiny")
