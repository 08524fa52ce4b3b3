"""A cross-encoder of random weights as a GGUF file: BERT with a classification head, pooled by `rank`.

For tests of what is around the model: its scores mean nothing, but they are a function of both texts.
Its words are "w0", "w1", ..., one token each.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LAYERS, _HIDDEN, _INTERMEDIATE, _HEADS = 2, 64, 128, 4
NUM_WORDS = 500


def write_random_reranker(path: Path, seed: int = 0, context_tokens: int = 128) -> Path:
    """Write the file, unless it is there."""
    if path.exists():
        return path
    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, "bert")
    _write_header(writer, context_tokens)
    rng = np.random.default_rng(seed)
    for name, shape in _tensors(context_tokens):
        is_norm = name.endswith("norm.weight")
        values = np.ones(shape) if is_norm else rng.standard_normal(shape) * (0.3 if "cls" in name else 0.1)
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.rename(path)
    return path


def _write_header(writer: gguf.GGUFWriter, context_tokens: int) -> None:
    writer.add_name("random-reranker")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(_HIDDEN)
    writer.add_feed_forward_length(_INTERMEDIATE)
    writer.add_block_count(_LAYERS)
    writer.add_head_count(_HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(value=False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_token_type_count(2)
    words = [*_SPECIAL, *(f"\u2581w{index}" for index in range(NUM_WORDS))]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    kinds = [gguf.TokenType.CONTROL if word in _SPECIAL else gguf.TokenType.NORMAL for word in words]
    writer.add_token_types(kinds)
    writer.add_bos_token_id(words.index("[CLS]"))
    writer.add_eos_token_id(words.index("[SEP]"))
    writer.add_sep_token_id(words.index("[SEP]"))
    writer.add_unk_token_id(words.index("[UNK]"))
    writer.add_pad_token_id(words.index("[PAD]"))
    writer.add_mask_token_id(words.index("[MASK]"))


def _tensors(context_tokens: int) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape, rows first."""
    tensors: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (len(_SPECIAL) + NUM_WORDS, _HIDDEN)),
        ("token_types.weight", (2, _HIDDEN)),
        ("position_embd.weight", (context_tokens, _HIDDEN)),
        *_norm("token_embd_norm"),
    ]
    for layer in range(_LAYERS):
        block = f"blk.{layer}"
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors += _linear(f"{block}.{part}", _HIDDEN, _HIDDEN)
        tensors += _norm(f"{block}.attn_output_norm")
        tensors += _linear(f"{block}.ffn_up", _INTERMEDIATE, _HIDDEN)
        tensors += _linear(f"{block}.ffn_down", _HIDDEN, _INTERMEDIATE)
        tensors += _norm(f"{block}.layer_output_norm")
    return [*tensors, *_linear("cls", _HIDDEN, _HIDDEN), *_linear("cls.output", 1, _HIDDEN)]


def _linear(name: str, num_outputs: int, num_inputs: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{name}.weight", (num_outputs, num_inputs)), (f"{name}.bias", (num_outputs,))]


def _norm(name: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{name}.weight", (_HIDDEN,)), (f"{name}.bias", (_HIDDEN,))]
