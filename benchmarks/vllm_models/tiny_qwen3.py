"""A Qwen3 of a few hundred thousand random weights, with tokenizer and chat template: what tests serve by vLLM.

    python -m benchmarks.vllm_models.tiny_qwen3 FOLDER [--shape 50M]

It writes words without sense, but as every other model does: greedy decoding repeats, tools and schemas hold its
answers, and its logits lie far enough apart that the order of a batch does not change the text.
"""

from __future__ import annotations

import argparse
import json
import math
import pydoc_data.topics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from benchmarks.vllm_models.tensors import write_tensors

VOCABULARY = 2048
MAX_TOKENS = 32768

END, START_TURN, END_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_BLANKS = frozenset("ĠĊčĉ")  # space, newline, return and tab, as byte-level vocabularies write them
_MARKS = ("<tool_call>", "</tool_call>", "<think>", "</think>")

# ChatML with Hermes' tool calls, as models of the Qwen family have it.
CHAT_TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- 'Functions that may be called, one a line:\\n' }}
{%- for tool in tools %}{{- tool | tojson + '\\n' }}{%- endfor %}
{{- 'A call is JSON with "name" and "arguments" between <tool_call> and </tool_call>.<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif not (loop.first and message.role == 'system') %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content %}{{- message.content }}{%- endif %}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n' + {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}
{{- '\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model, as its configuration names them."""

    num_layers: int
    hidden: int
    num_heads: int
    num_kv_heads: int
    head_dim: int  # 32 is the smallest that vLLM's attention on the CPU takes
    intermediate: int

    def projections(self) -> tuple[tuple[str, int, int], ...]:
        """Of one layer: (name, outputs, inputs)."""
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        return (
            ("self_attn.q_proj", queries, self.hidden),
            ("self_attn.k_proj", keys, self.hidden),
            ("self_attn.v_proj", keys, self.hidden),
            ("self_attn.o_proj", self.hidden, queries),
            ("mlp.gate_proj", self.intermediate, self.hidden),
            ("mlp.up_proj", self.intermediate, self.hidden),
            ("mlp.down_proj", self.hidden, self.intermediate),
        )


TINY = Shape(num_layers=2, hidden=64, num_heads=4, num_kv_heads=2, head_dim=32, intermediate=128)
# The other is for measurements: an engine that has something to do, as every real one has.
SHAPES = {
    "tiny": TINY,
    "50M": Shape(num_layers=16, hidden=512, num_heads=8, num_kv_heads=4, head_dim=64, intermediate=1536),
}


def write_model(folder: Path, seed: int = 0, shape: Shape = TINY) -> None:
    """The model's folder, as a hub would have it. The same seed writes the same weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config())
    _write_json(folder / "config.json", _config(tokenizer, shape))
    _write_json(folder / "generation_config.json", {"eos_token_id": _ids(tokenizer, END_TURN, END)})
    write_tensors(folder / "model.safetensors", _weights(seed, shape))


def blank_tokens(folder: Path) -> list[int]:
    """Ids of the tokens that are nothing but blanks.

    Where a grammar allows blanks between the words of JSON, a model without sense writes them for ever; requests
    forbid them by `logit_bias`.
    """
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    return sorted(token_id for token, token_id in vocabulary.items() if set(token) <= _BLANKS)


def _tokenizer() -> Tokenizer:
    """Bytes, and their commonest sequences in the English that Python's own help is written in."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 3 - len(_MARKS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pydoc_data.topics.topics.values(), trainer)
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in (END, START_TURN, END_TURN)])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in _MARKS])
    return tokenizer


def _tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_TURN,
        "pad_token": END,
        "model_max_length": MAX_TOKENS,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def _config(tokenizer: Tokenizer, shape: Shape) -> dict[str, object]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": VOCABULARY,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": MAX_TOKENS,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "eos_token_id": _ids(tokenizer, END_TURN)[0],
        "pad_token_id": _ids(tokenizer, END)[0],
    }


def _weights(seed: int, shape: Shape) -> dict[str, NDArray[np.float32]]:
    """By the names of the transformers library. Matrices are (out, in)."""
    rng = np.random.default_rng(seed)

    def matrix(num_out: int, num_in: int, scale: float = 1.0) -> NDArray[np.float32]:
        spread = np.float32(scale / math.sqrt(num_in))
        return rng.standard_normal((num_out, num_in), dtype=np.float32) * spread

    weights = {"model.embed_tokens.weight": matrix(VOCABULARY, shape.hidden, math.sqrt(shape.hidden))}
    for layer in range(shape.num_layers):
        prefix = f"model.layers.{layer}"
        for name, num_out, num_in in shape.projections():
            weights[f"{prefix}.{name}.weight"] = matrix(num_out, num_in)
        for norm, size in (
            ("input_layernorm", shape.hidden),
            ("post_attention_layernorm", shape.hidden),
            ("self_attn.q_norm", shape.head_dim),
            ("self_attn.k_norm", shape.head_dim),
        ):
            weights[f"{prefix}.{norm}.weight"] = np.ones(size, dtype=np.float32)
    weights["model.norm.weight"] = np.ones(shape.hidden, dtype=np.float32)
    # Wide apart: a model of unit scale would have thousands of near ties.
    weights["lm_head.weight"] = matrix(VOCABULARY, shape.hidden, 4.0)
    return weights


def _ids(tokenizer: Tokenizer, *marks: str) -> list[int]:
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[mark] for mark in marks]


def _write_json(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Write the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vllm_models.tiny_qwen3")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="(tiny)")
    arguments = parser.parse_args()
    write_model(arguments.folder, shape=SHAPES[arguments.shape])


if __name__ == "__main__":
    main()
