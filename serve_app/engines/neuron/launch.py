"""vLLM's arguments and variables on NeuronCores, from a plan that was checked. Pure.

Sources as in `plugins`; variables of the runtime: "Reference: Neuron Runtime environment variables", of the compiler's
cache: "Neuron persistent cache" (same documentation, read 2026-11).
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from configs.schema.engines.vllm import EngineArgument
from serve_app.engines.neuron.checks import Plan


def arguments(made: Plan) -> dict[str, EngineArgument]:
    """vLLM's arguments by name, besides those of every device."""
    neuron, engine_args = made.neuron, made.config.engine_args
    section: dict[str, object] = {}
    given: dict[str, EngineArgument] = {}
    if made.plugin.name == "native":
        _put(section, "num_batched_tokens_buckets", neuron.prefill_buckets)
        _put(section, "num_seqs_buckets", neuron.batch_buckets)
        _put(section, "decode_context_length_buckets", neuron.decode_buckets)
        # The largest bucket and the limit must be one number.
        if neuron.prefill_buckets and "max_num_batched_tokens" not in engine_args:
            given["max_num_batched_tokens"] = neuron.prefill_buckets[-1]
        if neuron.batch_buckets and "max_num_seqs" not in engine_args:
            given["max_num_seqs"] = neuron.batch_buckets[-1]
    else:
        _put(section, "context_encoding_buckets", neuron.prefill_buckets)
        _put(section, "token_generation_buckets", neuron.decode_buckets)
        if section:
            section["enable_bucketing"] = True
        if made.instance.family == "trn2":
            section["logical_nc_config"] = made.logical_core_size
    section |= neuron.overrides
    if section:
        given["additional_config"] = cast("dict[str, object]", {made.plugin.section: section})
    return given


def environment(made: Plan, home: Path) -> dict[str, str]:
    """Variables of vLLM's processes. Which cores are the replica's own is said by Ray's NEURON_RT_VISIBLE_CORES.

    Args:
        made: the plan.
        home: where compiled programs are kept if the configuration does not say.
    """
    neuron = made.neuron
    cache = neuron.compile_cache or str(home / "neuron-cache")
    variables = {
        # Without Ray's word of which: how many, so that no replica takes all of the node.
        "NEURON_RT_NUM_CORES": str(made.config.tensor_parallel_size),
    }
    if made.plugin.name == "nxd":
        variables["NEURON_COMPILE_CACHE_URL"] = cache
        variables["VLLM_NEURON_FRAMEWORK"] = "neuronx-distributed-inference"
    else:
        variables["VLLM_CACHE_ROOT"] = cache
    if made.instance.family == "trn2":
        variables["NEURON_LOGICAL_NC_CONFIG"] = str(made.logical_core_size)
    if neuron.compiled_artifacts is not None:
        variables["NEURON_COMPILED_ARTIFACTS"] = str(Path(neuron.compiled_artifacts).expanduser())
    return variables


def _put(section: dict[str, object], name: str, buckets: tuple[int, ...]) -> None:
    if buckets:
        section[name] = list(buckets)
