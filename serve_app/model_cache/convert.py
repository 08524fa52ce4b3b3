"""A BERT sentence encoder as sentence-transformers stores it -> one GGUF file for llama.cpp.

The model goes into the file as it was trained: mean pooling, no causal mask, and only the positions
of its window, so that every reader of the file sees the true limit. The pooler, which sentence
embeddings do not use, is dropped.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from serve_app.errors import ConfigError
from serve_app.model_cache.catalogue import SOURCE_SHA256_KEY
from serve_app.model_cache.safetensors_file import read_tensors
from serve_app.model_cache.weight_type import WeightType

_PHANTOM_SPACE = "\u2581"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_TYPES: dict[WeightType, tuple[gguf.GGMLQuantizationType, gguf.LlamaFileType]] = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}
_TENSORS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
# Inside `encoder.layer.N.`; weights and biases alike.
_BLOCK_TENSORS = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """What a model folder of sentence-transformers holds."""

    config: dict[str, Any]  # config.json
    max_tokens: int  # the window of sentence_bert_config.json, special tokens included
    is_mean_pooled: bool
    vocabulary: list[str]
    tensors: dict[str, NDArray[Any]]


def read_encoder(archive: Path, folder: str) -> SentenceEncoder:
    """The encoder in `folder` of a wheel.

    Raises:
        ConfigError: something is missing in it or is no BERT encoder.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            return SentenceEncoder(
                config=json.loads(files.read(f"{folder}/config.json")),
                max_tokens=json.loads(files.read(f"{folder}/sentence_bert_config.json"))["max_seq_length"],
                is_mean_pooled=json.loads(files.read(f"{folder}/1_Pooling/config.json"))[
                    "pooling_mode_mean_tokens"
                ],
                vocabulary=files.read(f"{folder}/vocab.txt").decode().removesuffix("\n").split("\n"),
                tensors=read_tensors(files.read(f"{folder}/model.safetensors")),
            )
    except (zipfile.BadZipFile, KeyError, ValueError) as exc:
        raise ConfigError(f"{archive.name} holds no sentence encoder that Manta can convert: {exc}") from exc


def write_gguf(
    encoder: SentenceEncoder, path: Path, weight_type: WeightType, name: str, source_sha256: str
) -> None:
    """Write the encoder as GGUF.

    Raises:
        ConfigError: the encoder is of a kind that this conversion does not cover.
        OSError: the file cannot be written.
    """
    check_encoder(encoder)
    writer = gguf.GGUFWriter(path, "bert")
    try:
        _add_parameters(writer, encoder.config, encoder.max_tokens)
        writer.add_name(name)
        writer.add_file_type(_TYPES[weight_type][1])
        writer.add_string(SOURCE_SHA256_KEY, source_sha256)
        _add_vocabulary(writer, encoder.vocabulary)
        for tensor_name, values in gguf_tensors(encoder):
            _add_tensor(writer, tensor_name, values, weight_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def check_encoder(encoder: SentenceEncoder) -> None:
    """Return if it is of the kind that is converted.

    Raises:
        ConfigError: it is not.
    """
    config = encoder.config
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu" or not encoder.is_mean_pooled:
        raise ConfigError("only BERT encoders with GELU and mean pooling are converted")
    if len(encoder.vocabulary) != config["vocab_size"]:
        raise ConfigError(f"the vocabulary has {len(encoder.vocabulary)} words, not {config['vocab_size']}")


def _add_parameters(writer: gguf.GGUFWriter, config: dict[str, Any], max_tokens: int) -> None:
    writer.add_context_length(max_tokens)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(value=False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(config["type_vocab_size"])


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: list[str]) -> None:
    ids = {word: vocabulary.index(word) for word in _SPECIAL}
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([gguf_word(word) for word in vocabulary])
    kinds = [gguf.TokenType.CONTROL if word in ids else gguf.TokenType.NORMAL for word in vocabulary]
    writer.add_token_types(kinds)
    # llama.cpp's word-piece tokenizer puts "bos" before a text and "sep" after it.
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_mask_token_id(ids["[MASK]"])


def gguf_word(word: str) -> str:
    """BERT marks what continues a word (`##ing`); llama.cpp marks what begins one, with a phantom space."""
    if word in _SPECIAL:
        return word
    return word[2:] if word.startswith("##") else _PHANTOM_SPACE + word


def gguf_tensors(encoder: SentenceEncoder) -> Iterator[tuple[str, NDArray[Any]]]:
    """The tensors under llama.cpp's names, without what it does not use."""
    for source_name, values in encoder.tensors.items():
        name = gguf_name(source_name)
        if name == "position_embd.weight":
            yield name, values[: encoder.max_tokens]
        elif name is not None:
            yield name, values


def gguf_name(source_name: str) -> str | None:
    """llama.cpp's name of a tensor; None for one that sentence embeddings do not use.

    Raises:
        ConfigError: the name is none of a BERT encoder's.
    """
    if source_name.startswith("pooler.") or source_name == "embeddings.position_ids":
        return None
    if source_name in _TENSORS:
        return _TENSORS[source_name]
    stem, _, kind = source_name.rpartition(".")
    if stem in _TENSORS:
        return f"{_TENSORS[stem]}.{kind}"
    parts = stem.split(".", 3)  # encoder, layer, N, the rest
    if parts[:2] == ["encoder", "layer"] and parts[-1] in _BLOCK_TENSORS:
        return f"blk.{parts[2]}.{_BLOCK_TENSORS[parts[-1]]}.{kind}"
    raise ConfigError(f"the tensor {source_name} is none of a BERT encoder's")


def _add_tensor(writer: gguf.GGUFWriter, name: str, values: NDArray[Any], weight_type: WeightType) -> None:
    # What is added rather than multiplied stays exact: it is small, and llama.cpp wants it in F32.
    is_added = values.ndim == 1 or name in ("position_embd.weight", "token_types.weight")
    kind = gguf.GGMLQuantizationType.F32 if is_added else _TYPES[weight_type][0]
    packed = gguf.quants.quantize(np.ascontiguousarray(values, dtype=np.float32), kind)
    writer.add_tensor(name, packed, raw_dtype=kind)
