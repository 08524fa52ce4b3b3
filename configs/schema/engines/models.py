"""Chat models, by engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from configs.schema.base import Fraction, Name, SecretRef, Strict, Url
from configs.schema.engines.neuron import NeuronConfig
from configs.schema.engines.vllm import (
    OF_SEVERAL_ENGINES,
    OF_THE_SERVER,
    OWN_KEYS,
    ArgumentName,
    EngineArgument,
    LoraConfig,
    VariableName,
    taken_by_beginning,
)
from configs.schema.engines.weights import ModelFolder, Weights
from configs.schema.scaling import ScalingConfig


class ModelBase(Strict):
    """What every chat model has, whatever its engine."""

    name: Name = Field(description="What clients write into `model`.")
    optional: bool = Field(
        default=False,
        description="Leave the model out, with a warning, when its weights are not on this machine.",
    )
    max_deadline_s: float | None = Field(
        default=None,
        gt=0,
        description="Most seconds that a request of this model has, queue included, whatever it asks for; None: no "
        "limit of its own.",
    )
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")
    affinity: Literal["none", "session", "prefix"] = Field(
        default="none",
        description="Keep requests together on one replica until it has 1.25 times its share of them: `prefix` those "
        "whose prompts begin alike, as the turns of a conversation do; `session` those of one `x-manta-session` (or "
        "`prompt_cache_key`, or `user`). For engines that keep the keys and values of earlier prompts, with several "
        "replicas.",
    )


class MockModel(ModelBase):
    """Makes words at a calibrated pace, from a seed: for benchmarks and tests of what is around engines."""

    engine: Literal["mock"]
    ttft_ms: float = Field(default=20.0, ge=0, description="Time to the first token, in milliseconds.")
    tpot_ms: float = Field(default=5.0, ge=0, description="Time per further token, in milliseconds.")
    prefill_us_per_token: float = Field(
        default=0.0,
        ge=0,
        description="Engine time per token of a prompt, in microseconds. Above 0, and so with "
        "`tpot_us_per_running`, sequences share the engine's steps as in a real batch, and `tpot_ms` is a "
        "step's fixed part.",
    )
    tpot_us_per_running: float = Field(
        default=0.0, ge=0, description="What each running sequence adds to every step, in microseconds."
    )
    max_batched_tokens: int = Field(
        default=2048,
        ge=1,
        description="Tokens of one step: one of each running sequence, and chunks of prompts. Only when "
        "sequences share steps.",
    )
    jitter: Fraction = Field(
        default=0.0, description="Relative spread of both times: 0.1 draws from 0.9 to 1.1 of them."
    )
    seed: int = Field(default=0, description="Seed of text and jitter, mixed with the request's own.")
    num_output_tokens: int = Field(
        default=32, ge=1, description="Tokens of an answer whose request sets no maximum."
    )
    max_concurrent: int = Field(
        default=256, ge=1, description="Sequences that are generated at once; others wait their turn."
    )
    context_tokens: int = Field(default=32768, ge=16, description="Prompt and answer together, in tokens.")
    faults: bool = Field(
        default=False,
        description="Break when a prompt orders it: `fault:hang_loop=30` in its text blocks the replica for 30 s, "
        "`fault:hang_engine` stops its engine, `fault:garbage` fails as garbled weights do, `fault:fail=3` and "
        "`fault:die=3` fail the request and end the process after 3 tokens. For tests of what is around engines.",
    )


class ExtractiveModel(ModelBase):
    """Answers a grounded prompt with sentences of the passages themselves, cited. Needs no weights."""

    engine: Literal["extractive"]
    max_sentences: int = Field(default=4, ge=1, le=20, description="Sentences of an answer, at most.")


class LlamaCppModel(ModelBase):
    """A GGUF model on llama.cpp, in process."""

    engine: Literal["llamacpp"]
    weights: Weights = Field(description="Where the GGUF file comes from.")
    context_tokens: int = Field(default=4096, ge=128, description="Prompt and answer together, in tokens.")
    max_sequences: int = Field(
        default=8,
        ge=1,
        le=128,
        description="Texts that are written at once; others wait their turn. Memory is reserved for the keys and "
        "values of context_tokens for each.",
    )
    prefix_cache_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=0,
        description="Memory for keys and values of earlier texts, so that a prompt that begins like one of them is not "
        "read again. 0: only what is in the places of texts that are over.",
    )
    max_step_tokens: int = Field(
        default=512,
        ge=32,
        description="Tokens of the prompts that are read in one step, beside one token of each text that is written. "
        "Small steps keep the streams smooth while a long prompt is read, large ones read it faster.",
    )
    max_step_ms: float = Field(
        default=1000,
        ge=0,
        allow_inf_nan=False,
        description="While texts are written, a step reads no more of prompts than it can in this time, by the pace of "
        "the steps before it, but 32 tokens at least: so that a large model's streams do not stall for as many "
        "tokens as a small one's. 0: max_step_tokens alone bounds it.",
    )
    reproducible: bool = Field(
        default=False,
        description="Compute so that a text does not depend on what else is in its batch: slower, and with twice the "
        "cache's memory. Without it the same request gives the same text but for near ties, about one text in "
        "a hundred.",
    )
    num_threads: int | None = Field(
        default=None, ge=1, description="Threads of the engine; None: the deployment's CPUs."
    )
    tool_dialect: Literal["auto", "none", "hermes", "llama3"] = Field(
        default="auto",
        description="How the model writes tool calls; `auto`: by its chat template. `none`: requests with tools are "
        "refused.",
    )
    reasoning: Literal["auto", "none", "think"] = Field(
        default="auto",
        description="Whether what the model writes between `<think>` and `</think>` is told as `reasoning_content`; "
        "`auto`: if its chat template knows these marks.",
    )


class VllmModel(ModelBase):
    """A model on vLLM: its own server, in its own Python environment. Keys have vLLM's names."""

    engine: Literal["vllm"]
    weights: ModelFolder = Field(
        description="Where the model's folder comes from: `path`, `repo` and `revision`, or `url`."
    )
    device: Literal["cpu", "cuda", "neuron"] = Field(default="cpu", description="What it computes on.")
    runner: Literal["generate", "pooling"] = Field(
        default="generate",
        description="`generate` writes text; `pooling` gives vectors, scores and classes.",
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="Type of weights and activations; `auto`: as the model's folder says."
    )
    max_model_len: int | None = Field(
        default=None,
        ge=1,
        description="Prompt and answer together, in tokens; None: as many as the model was made for.",
    )
    tensor_parallel_size: int = Field(
        default=1, ge=1, description="Devices of one node that share each layer; a replica never spans nodes."
    )
    gpu_memory_utilization: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of each GPU's memory that weights, keys and values may take; None: vLLM's own.",
    )
    cpu_kv_cache_gib: int = Field(
        default=1, ge=1, description="On `device: cpu`, memory for keys and values, in GiB."
    )
    num_threads: int | None = Field(
        default=None,
        ge=1,
        description="On `device: cpu`, threads of the engine; None: the deployment's CPUs.",
    )
    tool_call_parser: str | None = Field(
        default=None,
        min_length=1,
        description="vLLM's parser of the model's tool calls (`hermes`, `qwen3_xml`, ...); None: `tool_choice: auto` "
        "is refused.",
    )
    reasoning_parser: str | None = Field(
        default=None,
        min_length=1,
        description="vLLM's parser of what the model thinks before it answers (`qwen3`, ...); None: it stays in the "
        "text.",
    )
    lora: LoraConfig | None = Field(default=None, description="Adapters; None: the model serves none.")
    neuron: NeuronConfig | None = Field(
        default=None,
        description="On `device: neuron`, the instance and what is compiled; None: its defaults.",
    )
    engine_args: dict[ArgumentName, EngineArgument] = Field(
        default={},
        description="vLLM's own arguments, checked by vLLM when it starts: `max_num_seqs: 64` is its "
        "`--max-num-seqs 64`.",
    )
    env: dict[VariableName, Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default={}, description="Environment variables of vLLM's processes. Not for secrets."
    )
    python: str = Field(
        default=".venv-vllm/bin/python",
        min_length=1,
        description="Interpreter of the environment that has vLLM. A relative path counts from Manta's own folder.",
    )
    start_timeout_s: float = Field(
        default=900.0, gt=0, description="Seconds that vLLM has to load the model and answer."
    )

    @model_validator(mode="after")
    def _one_place_for_each_setting(self) -> VllmModel:
        for name in self.engine_args:
            if meant := taken_by_beginning(name):
                raise ValueError(
                    f"engine_args.{name} would be read as {meant}: give arguments their full names"
                )
            if name in OWN_KEYS:
                raise ValueError(f"engine_args.{name} is set by the key {OWN_KEYS[name]}")
            if name in OF_THE_SERVER:
                raise ValueError(f"engine_args.{name} is about vLLM's server, which only Manta talks to")
            if name in OF_SEVERAL_ENGINES:
                raise ValueError(
                    f"engine_args.{name} is for engines on several nodes or with devices that nobody reserved: "
                    "tensor_parallel_size counts a replica's devices, and scaling its replicas"
                )
        return self

    @model_validator(mode="after")
    def _of_the_device(self) -> VllmModel:
        if self.device == "cpu" and self.gpu_memory_utilization is not None:
            raise ValueError("gpu_memory_utilization is for device: cuda; on the CPU it is cpu_kv_cache_gib")
        if self.neuron is not None and self.device != "neuron":
            raise ValueError(f"neuron is for device: neuron, and this is device: {self.device}")
        if self.runner == "pooling" and (self.tool_call_parser or self.reasoning_parser):
            raise ValueError("tool_call_parser and reasoning_parser are for runner: generate")
        return self


class ExternalModel(ModelBase):
    """A model behind somebody else's OpenAI-compatible endpoint."""

    engine: Literal["external"]
    base_url: Url = Field(description="Up to and with `/v1`.")
    upstream_model: Name = Field(description="The model's name over there.")
    api_key: SecretRef | None = Field(default=None, description="Sent as bearer token.")
    connect_timeout_s: float = Field(default=5.0, gt=0, description="Seconds to wait for a connection.")


ModelConfig = Annotated[
    MockModel | ExtractiveModel | LlamaCppModel | VllmModel | ExternalModel, Field(discriminator="engine")
]
