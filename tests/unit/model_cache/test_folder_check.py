from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.schema import LocalFolder
from serve_app.errors import ConfigError
from serve_app.model_cache.cache import ensure, locate, why_missing
from serve_app.model_cache.folder_check import check_model_folder


def safetensors(num_bytes: int) -> bytes:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "w": {"dtype": "U8", "shape": [num_bytes], "data_offsets": [0, num_bytes]},
        }
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(num_bytes)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors(100))
    return folder


def test_a_whole_folder_is_found_where_it_is(model: Path) -> None:
    weights = LocalFolder(path=str(model))
    assert locate(weights, Path("/nowhere")) == ensure(weights, Path("/nowhere")) == model
    assert why_missing(weights, Path("/nowhere")) is None


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    weights = LocalFolder(path=str(tmp_path / "none"))
    assert why_missing(weights, tmp_path) == f"there is no folder {tmp_path}/none"
    with pytest.raises(ConfigError, match=r"models\.m\.weights\.path: there is no .*none"):
        locate(weights, tmp_path, "models.m.weights")
    (tmp_path / "none").write_text("a file")
    with pytest.raises(ConfigError, match=r"none is no folder"):
        locate(weights, tmp_path)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no model: it has no config\.json"):
        check_model_folder(tmp_path, "weights.path")


@pytest.mark.parametrize("name", ["params.json", "adapter_config.json"])
def test_other_kinds_of_models_have_other_configs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    check_model_folder(tmp_path, "weights.path")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (safetensors(100)[:-1], r"is not whole: \d+ bytes of \d+"),
        (safetensors(100)[:30], r"is not whole: 30 bytes of at least \d+"),
        (safetensors(100) + b"x", r"is not whole"),
        (b"", "is no safetensors file"),
        (b"\xff" * 100, "is no safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "is no safetensors file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n",
            "is a Git LFS pointer .*: git lfs pull",
        ),
    ],
)
def test_weights_that_are_not_whole_are_named(model: Path, content: bytes, words: str) -> None:
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"weights\.path: .*model\.safetensors {words}"):
        check_model_folder(model, "weights.path")


def test_a_shard_that_is_missing_is_named(model: Path) -> None:
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}))
    with pytest.raises(ConfigError, match=r"is not whole: .* lists model-2\.safetensors, which is not there"):
        check_model_folder(model, "weights.path")
    index.write_text("{}")
    with pytest.raises(ConfigError, match="lists no weights"):
        check_model_folder(model, "weights.path")
