"""What of adapters needs no vLLM: which are loaded, and which fit."""

from __future__ import annotations

import asyncio
import json
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
        self.began = asyncio.Event()  # to load

    async def load(self, adapter: Adapter) -> None:
        self.began.set()
        await asyncio.sleep(0)
        if adapter.path == "broken":
            raise BadRequest("broken")
        self.told.append(f"load {adapter.name}")

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
    assert engine.told == ["load a", "have a", "load a", "have a"]


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


async def test_a_caller_that_leaves_while_it_is_loaded_spoils_nothing() -> None:
    engine = Engine()
    loaded = LoadedAdapters(engine.load, engine.unload, 1, engine.report)
    await loaded.ensure(adapter("a"))
    engine.began.clear()
    leaving = asyncio.create_task(loaded.ensure(adapter("b")))
    await engine.began.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert loaded.names == []
    assert engine.told[-2:] == ["unload a", "have"]
    await loaded.ensure(adapter("b"))
    assert engine.told[-2:] == ["load b", "have b"]


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
    write_parts(tmp_path / "other", {f"model.layers.{layer}.self_attn.q_proj": (4, 64) for layer in (0, 9)})
    with pytest.raises(BadRequest, match=r"the base model has no model\.layers\.9\.self_attn\.q_proj"):
        check_adapter("poet", tmp_path / "other", base, 8)


def test_a_rank_that_only_the_matrices_have_is_named(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path)
    write_parts(tmp_path, {"model.layers.0.self_attn.q_proj": (16, 64)})
    with pytest.raises(BadRequest, match="its rank is 16"):
        check_adapter("poet", tmp_path, base, 8)


@pytest.mark.parametrize(
    ("tensor", "dtype"),
    [
        ("model.layers.0.self_attn.q_proj.qweight", "I32"),  # AWQ and GPTQ: eight weights in one
        ("model.layers.0.self_attn.q_proj.weight", "U8"),  # bitsandbytes
        ("h.0.attn.c_attn.weight", "F32"),  # GPT-2, whose adapters say transformer.h.0
    ],
)
def test_what_cannot_be_compared_is_left_to_vllm(tmp_path: Path, tensor: str, dtype: str) -> None:
    write_adapter(tmp_path)
    write_parts(tmp_path, {"model.layers.0.self_attn.q_proj": (4, 64)})
    header = json.dumps({tensor: {"dtype": dtype, "shape": [8, 16], "data_offsets": [0, 0]}}).encode()
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    check_adapter("poet", tmp_path, base, 8)


def write_parts(folder: Path, parts: dict[str, tuple[int, int]]) -> None:
    """The adapter's file with a lora_A of these shapes for each module, and nothing else."""
    write_tensors(
        folder / "adapter_model.safetensors",
        {
            f"base_model.model.{module}.lora_A.weight": np.zeros(shape, dtype=np.float32)
            for module, shape in parts.items()
        },
    )


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


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 64, (2).to_bytes(8, "little") + b"[]"])
def test_a_folder_without_an_adapter_is_named(base: Path, tmp_path: Path, content: bytes | None) -> None:
    write_adapter(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadRequest, match="holds no adapter"):
        check_adapter("poet", tmp_path, base, 8)
