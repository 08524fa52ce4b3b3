"""What a device needs besides the model: vLLM's arguments, variables, Ray's resources, and a look before the start.

Knows the configuration and nothing of processes. `neuron` has a room of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from configs.schema import VllmModel
from configs.schema.engines.vllm import EngineArgument
from serve_app.engines.vllm.keys import key
from serve_app.errors import ConfigError

# Where the NVIDIA driver puts the devices of a node, one file for each.
_DEVICES = Path("/dev")
_NVIDIA_DEVICES = "nvidia[0-9]*"


class Device(Protocol):
    """One kind of device."""

    def check(self, config: VllmModel) -> None:
        """Look at this machine before anything starts.

        Raises:
            ConfigError: it has no such device, or too few; the message names the key.
        """
        ...

    def check_model(self, config: VllmModel, folder: Path) -> None:
        """Look at the model, once its folder is here and before vLLM starts.

        Raises:
            ConfigError: the device cannot have it as the configuration asks.
        """
        ...

    def arguments(self, config: VllmModel) -> dict[str, EngineArgument]:
        """vLLM's arguments, by their names with underscores."""
        ...

    def environment(self, config: VllmModel, num_cpus: int) -> dict[str, str]: ...

    def resources(self, config: VllmModel) -> dict[str, Any]:
        """What Ray reserves for a replica, as actor options, CPUs left out."""
        ...


class CpuDevice:
    """vLLM's CPU backend. Tensor parallelism there shares sockets, not GPUs; one is what it is tested with."""

    def check(self, config: VllmModel) -> None:
        if config.tensor_parallel_size > 1:
            raise ConfigError(
                f"{key(config, 'tensor_parallel_size')} is {config.tensor_parallel_size}, and device: cpu has one "
                "device; set it to 1"
            )

    def check_model(self, config: VllmModel, folder: Path) -> None:
        """vLLM knows what its CPU backend can do, and says it before it loads weights."""

    def arguments(self, config: VllmModel) -> dict[str, EngineArgument]:
        return {}

    def environment(self, config: VllmModel, num_cpus: int) -> dict[str, str]:
        num_threads = config.num_threads or num_cpus
        return {
            # The model in the engine's own process, as on one GPU. In one beside it, vLLM's default on the CPU, the two
            # wait for each other in loops that take a core each; it is there to bind threads, which is off here.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_KVCACHE_SPACE": str(config.cpu_kv_cache_gib),
            # vLLM would give each thread a core of its own choice, also one that another process has.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(num_threads),
        }

    def resources(self, config: VllmModel) -> dict[str, Any]:
        return {}


class CudaDevice:
    """NVIDIA GPUs of one node. Ray gives the replica its own by CUDA_VISIBLE_DEVICES."""

    def __init__(self, devices: Path = _DEVICES) -> None:
        self._devices = devices

    def check(self, config: VllmModel) -> None:
        num_gpus = self._num_gpus()
        if num_gpus == 0:
            raise ConfigError(
                f"{key(config, 'device')} is cuda, and this machine shows no NVIDIA GPU (no /dev/nvidia0); use a "
                "node that has one, or device: cpu"
            )
        if config.tensor_parallel_size > num_gpus:
            raise ConfigError(
                f"{key(config, 'tensor_parallel_size')} is {config.tensor_parallel_size}, and this node has "
                f"{num_gpus} GPUs; a replica never spans nodes"
            )

    def check_together(self, models: Sequence[VllmModel]) -> None:
        """Look whether this machine has GPUs for the first replicas of all of these models at once.

        Raises:
            ConfigError: it has too few; Ray would wait for more for ever.
        """
        needed = {
            key(model, "tensor_parallel_size"): max(1, model.scaling.min_replicas)
            * model.tensor_parallel_size
            for model in models
        }
        if sum(needed.values()) > self._num_gpus():
            each = ", ".join(f"{name} for {number}" for name, number in needed.items())
            raise ConfigError(
                f"the first replicas of all models need {sum(needed.values())} GPUs ({each}), and this machine has "
                f"{self._num_gpus()}"
            )

    def _num_gpus(self) -> int:
        return len(list(self._devices.glob(_NVIDIA_DEVICES)))

    def check_model(self, config: VllmModel, folder: Path) -> None:
        """vLLM says before it loads weights whether they can be split so."""

    def arguments(self, config: VllmModel) -> dict[str, EngineArgument]:
        # Processes of this node: vLLM would take the Ray that it finds, and place workers elsewhere.
        return {"distributed_executor_backend": "mp"} if config.tensor_parallel_size > 1 else {}

    def environment(self, config: VllmModel, num_cpus: int) -> dict[str, str]:
        return {}

    def resources(self, config: VllmModel) -> dict[str, Any]:
        return {"num_gpus": config.tensor_parallel_size}


def device_of(config: VllmModel) -> Device:
    if config.device == "cpu":
        return CpuDevice()
    if config.device == "cuda":
        return CudaDevice()
    from serve_app.engines.neuron.device import NeuronDevice

    return NeuronDevice()
