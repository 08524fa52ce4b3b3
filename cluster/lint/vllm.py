"""What a container or a Ray config asks of vLLM: which models by which names, how many devices, which options.

Options are only known as far as it takes to see that one is misspelt: vLLM has hundreds, and more with each version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cluster.lint.manifest import items
from cluster.lint.words import closest

_CLOSE = 0.86  # options are long and alike
# Often-used options, as keys of EngineArgs: https://docs.vllm.ai/en/latest/configuration/engine_args.html
_OPTIONS = frozenset((
    "model", "tokenizer", "tokenizer_mode", "trust_remote_code", "download_dir", "load_format", "dtype",
    "kv_cache_dtype",
    "max_model_len", "distributed_executor_backend", "pipeline_parallel_size", "tensor_parallel_size",
    "data_parallel_size", "data_parallel_size_local", "data_parallel_rank", "data_parallel_address",
    "data_parallel_rpc_port", "data_parallel_backend", "enable_expert_parallel", "max_parallel_loading_workers",
    "block_size", "enable_prefix_caching", "no_enable_prefix_caching", "swap_space", "cpu_offload_gb",
    "gpu_memory_utilization", "max_num_batched_tokens", "max_num_seqs", "max_logprobs", "revision", "quantization",
    "enforce_eager", "enable_lora", "max_loras", "max_lora_rank", "max_cpu_loras", "enable_chunked_prefill",
    "speculative_config", "limit_mm_per_prompt", "kv_transfer_config", "compilation_config", "served_model_name",
    "chat_template", "enable_auto_tool_choice", "tool_call_parser", "reasoning_parser", "enable_reasoning", "api_key",
    "disable_log_requests", "disable_log_stats", "enable_log_requests", "lora_modules", "hf_token", "scheduling_policy",
    "structured_outputs_config", "guided_decoding_backend", "async_scheduling", "uvicorn_log_level", "shutdown_timeout",
))  # fmt: skip


def misspelt(option: str) -> str | None:
    """The option that is most likely meant by one that vLLM does not know; None for any other."""
    plain = option.replace("-", "_")
    return None if plain in _OPTIONS else closest(plain, _OPTIONS, _CLOSE)


def words_of(container: Mapping[str, Any]) -> list[str]:
    """The words of a command that starts vLLM's server, `--a=b` as two; empty for any other container."""
    text = " ".join(str(word) for key in ("command", "args") for word in items(container.get(key)))
    words = re.sub(r"(--[\w-]+)=", r"\1 ", text.replace("\\\n", " ")).split()
    if "vllm" not in " ".join((*words, str(container.get("image", "")))):
        return []
    return words


def option(words: list[str], *names: str) -> str | None:
    """What follows the first of the options that is there."""
    for name in names:
        if name in words and words.index(name) + 1 < len(words):
            return words[words.index(name) + 1].strip("'\"")
    return None


def served_names(container: Mapping[str, Any]) -> set[str] | None:
    """The names that `vllm serve` takes: --served-model-name, else the model's own; None: not known."""
    words = words_of(container)
    if "--served-model-name" in words:
        names: set[str] = set()
        for word in words[words.index("--served-model-name") + 1 :]:
            if word.startswith("-"):
                break
            names.add(word.strip("'\""))
        return names
    name = option(words, "serve", "--model")
    return None if name is None or name.startswith(("-", "/", "$")) else {name}


def num_devices(words: list[str]) -> int | None:
    """How many devices one engine takes: tensor times pipeline parallel; None where it does not say, or spans pods."""
    sizes = (
        option(words, "--tensor-parallel-size", "-tp"),
        option(words, "--pipeline-parallel-size", "-pp"),
        option(words, "--data-parallel-size-local", "-dpl", "--data-parallel-size", "-dp"),
    )
    spans_pods = option(words, "--distributed-executor-backend") == "ray" or "--nnodes" in words
    given = [size for size in sizes if size is not None]
    if not given or spans_pods or not all(size.isdigit() for size in given):
        return None
    number = 1
    for size in given:
        number *= int(size)
    return number
