"""A model of Llama's architecture with random weights, as a GGUF file.

How fast an engine is follows from the shapes and the types of the weights, not from their values; so benchmarks need
no download. The values are drawn from a seed, with the spread that trained networks start from, so that no
activation overflows.

Its words are "w0", "w1", ..., one token each, so that the tokens of a text are counted by its spaces, and a prompt
may hold any number of them. It never ends a text by itself and never writes half a character: the rows of the tokens
that would are so small that no sampler that looks at the best ones picks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

WEIGHT_TYPES = {
    "F32": gguf.GGMLQuantizationType.F32,
    "F16": gguf.GGMLQuantizationType.F16,
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_NUM_BYTE_TOKENS = 256
_SPECIAL = ("<unk>", "<s>", "</s>")
_WORD_START = (
    "\u2581w"  # a token itself: the tokenizer makes longer tokens of shorter ones, a character at a time
)
_NUM_SMALL = _NUM_BYTE_TOKENS + len(_SPECIAL)  # tokens that are not words come first
_SMALL = np.float32(0.01)
_EMBEDDING = "token_embd.weight"
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model, by Llama's names for them."""

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    num_vocabulary: int
    context_tokens: int = 8192

    @property
    def num_words(self) -> int:
        """Words "w0" to this, without it, are a token each."""
        return self.num_vocabulary - _NUM_SMALL - 1


# What models of these sizes that are in use have: SmolLM2-135M and Qwen2.5-0.5B (their config.json, 2024).
SHAPES = {
    "135M": Shape(30, 576, 1536, 9, 3, 49152),
    "0.5B": Shape(24, 896, 4864, 14, 2, 151936),
    "tiny": Shape(2, 64, 128, 4, 2, 1024, context_tokens=2048),
}


# In a file's name: what is written changes with it.
_EDITION = 2


def named_model(folder: Path, name: str, seed: int = 0) -> Path:
    """The file of a model such as "135M:Q8_0", written into `folder` unless it is there."""
    shape, _, weight_type = name.partition(":")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"random-llama-{_EDITION}-{shape}-{weight_type}-{seed}.gguf"
    return write_random_llama(path, SHAPES[shape], weight_type, seed)


def write_random_llama(path: Path, shape: Shape, weight_type: str, seed: int = 0) -> Path:
    """Write the file, unless it is there.

    Args:
        path: of the file.
        shape: sizes.
        weight_type: of the matrices: F32, F16 or Q8_0; norms are F32.
        seed: of the weights.
    """
    if path.exists():
        return path
    rng = np.random.default_rng(seed)
    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, "llama")
    _write_header(writer, shape, path.stem)
    for name, rows, columns in _matrices(shape):
        values = rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.02)
        if name == _EMBEDDING:
            values[:_NUM_SMALL] *= _SMALL
        _add(writer, name, values, weight_type)
    for name in _norms(shape):
        writer.add_tensor(name, np.ones(shape.hidden_size, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.rename(path)
    return path


def _add(writer: gguf.GGUFWriter, name: str, values: NDArray[np.float32], weight_type: str) -> None:
    kind = WEIGHT_TYPES[weight_type]
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


def _write_header(writer: gguf.GGUFWriter, shape: Shape, name: str) -> None:
    writer.add_name(name)
    writer.add_context_length(shape.context_tokens)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_rope_dimension_count(shape.hidden_size // shape.num_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.num_vocabulary)
    tokens, kinds = _vocabulary(shape.num_vocabulary)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(_CHAT_TEMPLATE)


def _vocabulary(num: int) -> tuple[list[str], list[int]]:
    """Special tokens, one for each byte, and made-up words, each with its space before it."""
    tokens = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(_NUM_BYTE_TOKENS)), _WORD_START]
    tokens += [f"{_WORD_START}{index}" for index in range(num - len(tokens))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * _NUM_BYTE_TOKENS
    kinds += [gguf.TokenType.NORMAL] * (num - len(kinds))
    return tokens, [int(kind) for kind in kinds]


def _matrices(shape: Shape) -> list[tuple[str, int, int]]:
    """Name, rows (outputs) and columns (inputs) of every matrix. The output shares the embedding's weights."""
    kv_size = shape.hidden_size // shape.num_heads * shape.num_kv_heads
    matrices = [(_EMBEDDING, shape.num_vocabulary, shape.hidden_size)]
    for layer in range(shape.num_layers):
        block = f"blk.{layer}"
        matrices += [
            (f"{block}.attn_q.weight", shape.hidden_size, shape.hidden_size),
            (f"{block}.attn_k.weight", kv_size, shape.hidden_size),
            (f"{block}.attn_v.weight", kv_size, shape.hidden_size),
            (f"{block}.attn_output.weight", shape.hidden_size, shape.hidden_size),
            (f"{block}.ffn_gate.weight", shape.intermediate_size, shape.hidden_size),
            (f"{block}.ffn_up.weight", shape.intermediate_size, shape.hidden_size),
            (f"{block}.ffn_down.weight", shape.hidden_size, shape.intermediate_size),
        ]
    return matrices


def _norms(shape: Shape) -> list[str]:
    names = ["output_norm.weight"]
    for layer in range(shape.num_layers):
        names += [f"blk.{layer}.attn_norm.weight", f"blk.{layer}.ffn_norm.weight"]
    return names
