from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from benchmarks.gguf_models.random_llama import SHAPES, WEIGHT_TYPES, named_model


@pytest.mark.parametrize("weight_type", sorted(WEIGHT_TYPES))
def test_a_file_has_its_shape_and_its_weights(weight_type: str, tmp_path: Path) -> None:
    path = named_model(tmp_path, f"tiny:{weight_type}")
    reader = gguf.GGUFReader(path)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert tensors["token_embd.weight"].shape.tolist() == [64, 1024]
    assert tensors["blk.1.attn_k.weight"].tensor_type == WEIGHT_TYPES[weight_type]
    assert len([name for name in tensors if name.startswith("blk.")]) == 2 * 9
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_seed_writes_the_same_file_and_another_does_not(tmp_path: Path) -> None:
    first = named_model(tmp_path / "a", "tiny:F16").read_bytes()
    assert named_model(tmp_path / "b", "tiny:F16").read_bytes() == first
    assert named_model(tmp_path / "b", "tiny:F16", seed=1).read_bytes() != first


def test_tokens_that_would_end_a_text_are_never_among_the_best(tmp_path: Path) -> None:
    reader = gguf.GGUFReader(named_model(tmp_path, "tiny:F32"))
    rows = next(tensor.data for tensor in reader.tensors if tensor.name == "token_embd.weight")
    num_words = SHAPES["tiny"].num_words
    norms = np.linalg.norm(rows, axis=1)
    assert norms[:-num_words][:-1].max() < norms[-num_words:].min() / 20
