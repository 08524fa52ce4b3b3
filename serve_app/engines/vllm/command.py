"""The command line and the environment of vLLM's server, from the configuration alone.

Pure: what it gives is what runs, so tests compare it and start nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from configs.schema import VllmModel
from configs.schema.engines.vllm import EngineArgument
from serve_app.engines.vllm.devices import device_of
from serve_app.engines.vllm.wire import KEEP_ALIVE_S

# Of Ray's workers, about the interpreter: they would mix two environments.
DROPPED_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")


def command(config: VllmModel, python: Path, folder: Path, socket: Path) -> list[str]:
    """vLLM's server, as a command.

    Args:
        config: the model.
        python: interpreter of vLLM's environment.
        folder: the model's, on this machine.
        socket: the Unix socket that it listens on; a path of at most 107 bytes.
    """
    words = [str(python), "-m", "vllm.entrypoints.cli.main", "serve", str(folder), "--uds", str(socket)]
    for name, value in arguments(config).items():
        words += words_of(name, value)
    return words


def arguments(config: VllmModel) -> dict[str, EngineArgument]:
    """vLLM's arguments by name, ours first. What is None is left to vLLM."""
    given: dict[str, EngineArgument] = {
        "served_model_name": config.name,
        "runner": config.runner,
        "dtype": config.dtype,
        "max_model_len": config.max_model_len,
        "tensor_parallel_size": config.tensor_parallel_size,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "tool_call_parser": config.tool_call_parser,
        "enable_auto_tool_choice": True if config.tool_call_parser else None,
        "reasoning_parser": config.reasoning_parser,
    }
    if config.lora is not None:
        given |= {
            "enable_lora": True,
            "max_loras": config.lora.max_loras,
            "max_lora_rank": config.lora.max_lora_rank,
            "max_cpu_loras": config.lora.max_cpu_loras,
        }
    # Serve's replica counts requests; a line for each of them would be all that a log holds.
    given |= {"disable_uvicorn_access_log": True}
    given |= device_of(config).arguments(config)
    return {name: value for name, value in {**given, **config.engine_args}.items() if value is not None}


def environment(
    config: VllmModel, python: Path, num_cpus: int, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The variables of vLLM's processes: those of the replica, the device's, and the configuration's own.

    Args:
        config: the model.
        python: interpreter of vLLM's environment.
        num_cpus: threads of the engine where the configuration names none.
        inherited: the replica's.
    """
    variables = {name: value for name, value in inherited.items() if name not in DROPPED_VARIABLES}
    # As in an environment that is activated: kernels are compiled on the spot by its ninja, Neuron's by its neuronx-cc.
    variables["PATH"] = os.pathsep.join([str(python.parent), inherited.get("PATH", os.defpath)])
    variables |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
    # Longer than the replica keeps idle connections: of two ends that close one, ours must be first.
    variables["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"] = str(4 * KEEP_ALIVE_S)
    # The model's folder is here by now: a name that vLLM took for a repository would hang on a closed network.
    variables |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if config.lora is not None:
        variables["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    return variables | device_of(config).environment(config, num_cpus) | config.env


def words_of(name: str, value: EngineArgument) -> list[str]:
    """One argument as words of a command line."""
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return [flag]
    if value is False:
        return [f"--no-{flag[2:]}"]
    if isinstance(value, list):
        return [flag, *(str(one) for one in value)]
    return [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
