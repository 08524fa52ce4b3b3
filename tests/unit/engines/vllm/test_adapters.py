"""What of adapters needs no vLLM: which are loaded, and which fit."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from benchmarks.vllm_models.lora_adapter import write_adapter
from benchmarks.vllm_models.tensors import write_tensors
from benchmarks.vllm_models.tiny_qwen3 import write_model
from serve_app.adapters.base import Adapter
from serve_app.engines.vllm.adapter_check import check_adapter, require_inside, shapes
from serve_app.engines.vllm.adapters import LoadedAdapters
from serve_app.errors import BadRequest


class Engine:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def load(self, adapter: Adapter, *, is_new_version: bool) -> None:
        await asyncio.sleep(0)
        if adapter.path == "broken":
            raise BadRequest("broken")
        self.told.append(f"{'replace' if is_new_version else 'load'} {adapter.name}")

    async def unload(self, name: str) -> None:
        self.told.append(f"unload {name}")

    async def report(self, names: Collection[str]) -> None:
        self.told.append(f"have {' '.join(names)}".strip())


def adapter(name: str, version: str = "1", path: str = "folder") -> Adapter:
    return Adapter(name, "chat", path, version)


async def test_each_version_is_loaded_once_and_told() -> None:
    engine = Engine()
    loaded = LoadedAdapters(engine.load, engine.unload, 8, engine.report)
    await asyncio.gather(*(loaded.ensure(adapter("a")) for _ in range(3)))
    await loaded.ensure(adapter("a", "2"))
    assert engine.told == ["load a", "have a", "replace a", "have a"]


async def test_the_one_used_longest_ago_makes_room() -> None:
    engine = Engine()
    loaded = LoadedAdapters(engine.load, engine.unload, 2)
    for name in ("a", "b", "a", "c"):
        await loaded.ensure(adapter(name))
    assert engine.told == ["load a", "load b", "unload b", "load c"]
    assert loaded.names == ["a", "c"]


async def test_what_was_removed_is_unloaded() -> None:
    engine = Engine()
    loaded = LoadedAdapters(engine.load, engine.unload, 8, engine.report)
    await loaded.ensure(adapter("a"))
    await loaded.retire({"a"})
    await loaded.retire(())
    assert engine.told == ["load a", "have a", "unload a", "have"]


async def test_one_that_cannot_be_loaded_is_not_there() -> None:
    engine = Engine()
    loaded = LoadedAdapters(engine.load, engine.unload, 8)
    with pytest.raises(BadRequest):
        await loaded.ensure(adapter("a", path="broken"))
    assert loaded.names == []


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_model(folder)
    return folder


def test_an_adapter_of_the_model_fits(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path)
    check_adapter("poet", tmp_path, base, 4)
    assert shapes(base / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"] == (128, 64)


def test_what_does_not_fit_is_named(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "rank", rank=16)
    with pytest.raises(
        BadRequest, match=r"adapter poet does not fit: its rank is 16, and lora\.max_lora_rank is 8"
    ):
        check_adapter("poet", tmp_path / "rank", base, 8)
    write_adapter(tmp_path / "wide", num_inputs=96)
    with pytest.raises(BadRequest, match="q_proj has 64 inputs in the base model, and 96 in the adapter"):
        check_adapter("poet", tmp_path / "wide", base, 8)
    write_adapter(tmp_path / "other")
    part = "base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight"
    write_tensors(
        tmp_path / "other" / "adapter_model.safetensors", {part: np.zeros((4, 64), dtype=np.float32)}
    )
    with pytest.raises(BadRequest, match=r"the base model has no model\.layers\.9\.self_attn\.q_proj"):
        check_adapter("poet", tmp_path / "other", base, 8)


def test_only_what_is_below_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "adapters" / "poet").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "adapters" / "link").symlink_to(tmp_path / "secret")
    require_inside("poet", tmp_path / "adapters" / "poet", tmp_path / "adapters")
    for path in (
        tmp_path / "secret",
        tmp_path / "adapters" / "link",
        tmp_path / "adapters" / ".." / "secret",
    ):
        with pytest.raises(BadRequest, match=r"the adapter poet must be below lora\.folder"):
            require_inside("poet", path, tmp_path / "adapters")
    with pytest.raises(BadRequest, match="none is configured"):
        require_inside("poet", tmp_path / "adapters" / "poet", None)


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 64])
def test_a_folder_without_an_adapter_is_named(base: Path, tmp_path: Path, content: bytes | None) -> None:
    write_adapter(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadRequest, match="holds no adapter"):
        check_adapter("poet", tmp_path, base, 8)
