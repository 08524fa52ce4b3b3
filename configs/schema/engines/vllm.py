"""What a vLLM model has besides what every model has: adapters, and vLLM's own arguments."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from configs.schema.base import Name, Strict

# A value of one of vLLM's own arguments: `--name value`; a mapping travels as JSON.
EngineArgument = bool | int | float | str | list[str] | list[int] | dict[str, object] | None

ArgumentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]

# vLLM's argument -> the key of ours that sets it. Two places for one setting would contradict each other.
OWN_KEYS = {
    "model": "weights",
    "model_tag": "weights",
    "revision": "weights.revision",
    "tokenizer_revision": "weights.revision",
    "served_model_name": "name",
    "runner": "runner",
    "dtype": "dtype",
    "max_model_len": "max_model_len",
    "tensor_parallel_size": "tensor_parallel_size",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "tool_call_parser": "tool_call_parser",
    "enable_auto_tool_choice": "tool_call_parser",
    "reasoning_parser": "reasoning_parser",
    "enable_lora": "lora",
    "max_loras": "lora.max_loras",
    "max_lora_rank": "lora.max_lora_rank",
    "max_cpu_loras": "lora.max_cpu_loras",
    "lora_modules": "lora.adapters",
}

# What belongs to the server around the engine: where it listens, whom it lets in. The ingress has that.
OF_THE_SERVER = frozenset(
    {
        "host",
        "port",
        "grpc_port",
        "uds",
        "api_key",
        "ssl_keyfile",
        "ssl_certfile",
        "ssl_ca_certs",
        "ssl_cert_reqs",
        "ssl_ciphers",
        "enable_ssl_refresh",
        "root_path",
        "headless",
        "config",
        "grpc",
        "api_server_count",
        "allowed_origins",
        "allowed_methods",
        "allowed_headers",
        "allow_credentials",
        "middleware",
    }
)

# What takes more devices than Ray reserves for the replica, or processes on other nodes.
OF_SEVERAL_ENGINES = frozenset(
    {
        "pipeline_parallel_size",
        "prefill_context_parallel_size",
        "data_parallel_size",
        "data_parallel_size_local",
        "data_parallel_hybrid_lb",
        "data_parallel_external_lb",
        "nnodes",
        "node_rank",
    }
)

_TAKEN = sorted(OWN_KEYS.keys() | OF_THE_SERVER | OF_SEVERAL_ENGINES)
# An argument of its own, and the beginning of a taken one.
_WHOLE = frozenset({"tokenizer"})


def taken_by_beginning(name: str) -> str | None:
    """The argument that `name` begins, if it may not be given: vLLM takes a beginning for the whole."""
    if name in _TAKEN or name in _WHOLE:
        return None
    return next((taken for taken in _TAKEN if taken.startswith(name)), None)


class LoraConfig(Strict):
    """Adapters of a model: those that it always has, and room for those that come while it serves."""

    max_loras: int = Field(default=4, ge=1, description="Different adapters in one step of the engine.")
    max_lora_rank: int = Field(default=16, ge=1, description="Largest rank of an adapter.")
    max_cpu_loras: int | None = Field(
        default=None, ge=1, description="Adapters that stay in memory; None: as many as in one step."
    )
    max_adapters: int = Field(
        default=64,
        ge=1,
        description="Adapters that one replica knows at once; the one that was used longest ago makes room.",
    )
    folder: str | None = Field(
        default=None,
        min_length=1,
        description="Folder, on every replica's machine, below which adapters may be loaded while the model serves; "
        "`~` is expanded. None: only those of `adapters` are served.",
    )
    adapters: dict[Name, Annotated[str, StringConstraints(min_length=1)]] = Field(
        default={},
        description="Name that clients write into `model` -> folder of an adapter (adapter_config.json and "
        "adapter_model.safetensors) that every replica can read.",
    )
