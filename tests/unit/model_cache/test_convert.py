from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.errors import ConfigError
from serve_app.model_cache.catalogue import SOURCE_SHA256_KEY
from serve_app.model_cache.convert import SentenceEncoder, gguf_name, gguf_word, read_encoder, write_gguf
from serve_app.model_cache.safetensors_file import read_tensors

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "man", "##ta", "[unused0]"]
HIDDEN, INNER, NUM_POSITIONS, WINDOW = 32, 64, 16, 10


def tensors() -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    layer = "encoder.layer.0."
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), HIDDEN),
        "embeddings.position_embeddings.weight": (NUM_POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        layer + "attention.self.query.weight": (HIDDEN, HIDDEN),
        layer + "attention.self.query.bias": (HIDDEN,),
        layer + "output.dense.weight": (HIDDEN, INNER),
        "pooler.dense.weight": (HIDDEN, HIDDEN),
        "embeddings.position_ids": (1, NUM_POSITIONS),
    }
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def encoder() -> SentenceEncoder:
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": len(VOCABULARY),
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 2,
    }
    return SentenceEncoder(
        config, max_tokens=WINDOW, is_mean_pooled=True, vocabulary=list(VOCABULARY), tensors=tensors()
    )


def test_the_file_says_what_the_model_is(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(encoder(), path, "f16", "tiny", "d" * 64)
    fields = gguf.GGUFReader(path).fields

    def value(key: str) -> Any:
        return fields[key].contents()

    assert value("general.name") == "tiny"
    assert value(SOURCE_SHA256_KEY) == "d" * 64
    assert value("bert.context_length") == WINDOW
    assert value("bert.attention.causal") is False
    assert value("bert.pooling_type") == gguf.PoolingType.MEAN
    assert value("tokenizer.ggml.token_type_count") == 2
    assert value("tokenizer.ggml.tokens") == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "▁man",
        "ta",
        "▁[unused0]",
    ]
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    assert value("tokenizer.ggml.token_type") == [control] * 5 + [normal] * 3
    assert value("tokenizer.ggml.bos_token_id") == 2
    assert value("tokenizer.ggml.seperator_token_id") == 3


@pytest.mark.parametrize(
    ("weight_type", "stored"),
    [("f32", gguf.GGMLQuantizationType.F32), ("f16", gguf.GGMLQuantizationType.F16)],
)
def test_what_is_multiplied_is_packed_and_what_is_added_stays_exact(
    tmp_path: Path, weight_type: Any, stored: gguf.GGMLQuantizationType
) -> None:
    path = tmp_path / "tiny.gguf"
    source = encoder()
    write_gguf(source, path, weight_type, "tiny", "d" * 64)
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    exact = {"position_embd.weight", "token_types.weight", "token_embd_norm.weight", "blk.0.attn_q.bias"}
    packed = {"token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_down.weight"}
    assert found.keys() == exact | packed  # the pooler and the position ids are gone
    assert all(found[name].tensor_type == gguf.GGMLQuantizationType.F32 for name in exact)
    assert all(found[name].tensor_type == stored for name in packed)
    positions = source.tensors["embeddings.position_embeddings.weight"]
    assert np.array_equal(found["position_embd.weight"].data, positions[:WINDOW])
    words = source.tensors["embeddings.word_embeddings.weight"]
    assert np.allclose(found["token_embd.weight"].data, words, rtol=1e-3)


def test_bf16_keeps_eight_bits_of_each_weight(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    source = encoder()
    write_gguf(source, path, "bf16", "tiny", "d" * 64)
    tensor = next(tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == "token_embd.weight")
    assert tensor.tensor_type == gguf.GGMLQuantizationType.BF16
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    assert np.allclose(values, source.tensors["embeddings.word_embeddings.weight"], rtol=2**-8)


@pytest.mark.parametrize("change", [{"model_type": "t5"}, {"hidden_act": "relu"}, {"vocab_size": 9}])
def test_other_models_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    other = replace(encoder(), config=encoder().config | change)
    with pytest.raises(ConfigError):
        write_gguf(other, tmp_path / "x.gguf", "f16", "tiny", "d" * 64)


def test_a_tensor_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"classifier\.weight"):
        gguf_name("classifier.weight")
    assert gguf_name("pooler.dense.bias") is None


def test_words_that_look_special_but_are_not_get_the_phantom_space() -> None:
    assert gguf_word("[SEP]") == "[SEP]"
    assert gguf_word("##s") == "s"
    assert gguf_word("##") == ""
    assert gguf_word("#") == "▁#"


def test_a_wheel_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.whl"
    with zipfile.ZipFile(path, "w") as files:
        files.writestr("m/config.json", json.dumps(encoder().config))
        files.writestr("m/sentence_bert_config.json", '{"max_seq_length": 10}')
        files.writestr("m/1_Pooling/config.json", '{"pooling_mode_mean_tokens": true}')
        files.writestr("m/vocab.txt", "\n".join(VOCABULARY) + "\n")
        files.writestr(
            "m/model.safetensors", safetensors({"a": np.arange(6, dtype=np.float32).reshape(2, 3)})
        )
    found = read_encoder(path, "m")
    assert found.vocabulary == VOCABULARY
    assert found.max_tokens == 10
    assert found.tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ConfigError, match=r"m\.whl holds no sentence encoder"):
        read_encoder(path, "other")


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0not json", b"\x02\0\0\0\0\0\0\0[]"])
def test_broken_safetensors_are_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match="no safetensors file"):
        read_tensors(content)


def test_an_unknown_number_type_is_refused() -> None:
    content = safetensors({"a": np.zeros(2, dtype=np.float32)}).replace(b"F32", b"F8X")
    with pytest.raises(ConfigError, match="F8X"):
        read_tensors(content)


def safetensors(arrays: dict[str, NDArray[np.float32]]) -> bytes:
    header, body = {}, b""
    for name, array in arrays.items():
        end = len(body) + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(body), end]}
        body += array.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body
