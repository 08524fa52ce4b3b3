"""One vLLM, said three ways: as words for `vllm serve`, as Manta's configuration, and as that of ray.serve.llm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import bare_vllm
from benchmarks.overhead.profile import scaling

NAME = "tiny"

# As Manta names them: vLLM's own arguments, with underscores. Eager, because a start that compiles takes minutes. Two
# engines share a GPU, and each would take nearly all of its memory.
_OWN_KEYS: Mapping[bare_vllm.Device, Mapping[str, Any]] = {
    "cpu": {"dtype": "float32", "max_model_len": 4096},
    "cuda": {"dtype": "bfloat16", "max_model_len": 4096, "gpu_memory_utilization": 0.3},
}
_ENGINE_ARGS: Mapping[str, Any] = {"max_num_seqs": 64, "enforce_eager": True}
# One ingress, as in the other ways. Ray's own default is two for each replica of the model.
_RAY_INGRESS = {"num_replicas": 1}


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """The engine that every way has.

    Args:
        python: interpreter of vLLM's environment.
        folder: the model's.
        device: that every engine computes on.
        num_threads: of the engine, on the CPU.
    """

    python: Path = bare_vllm.PYTHON
    folder: Path = bare_vllm.TINY_MODEL
    device: bare_vllm.Device = "cpu"
    num_threads: int = 1

    def words(self) -> list[str]:
        """For `vllm serve`. Without a line for each request, as Manta starts it."""
        words = ["--disable-uvicorn-access-log"]
        for name, value in {**_OWN_KEYS[self.device], **_ENGINE_ARGS}.items():
            flag = f"--{name.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
        return words

    def model(self) -> dict[str, Any]:
        """For Manta's profile."""
        return {
            "name": NAME,
            "engine": "vllm",
            "python": str(self.python.absolute()),
            "weights": {"path": str(self.folder.absolute())},
            "device": self.device,
            **({"num_threads": self.num_threads} if self.device == "cpu" else {}),
            **_OWN_KEYS[self.device],
            "engine_args": dict(_ENGINE_ARGS),
            "start_timeout_s": bare_vllm.START_TIMEOUT_S,
            "scaling": scaling(1) | {"num_cpus": 1},
        }

    def ray_llm(self, batching_ms: float | None, *, has_ingress: bool) -> dict[str, Any]:
        """For `ray.serve.llm.build_openai_app`.

        Args:
            batching_ms: how long pieces of a stream are gathered; None: Ray's own default (50).
            has_ingress: False for direct streaming, where the model's own replica is what clients reach.
        """
        config: dict[str, Any] = {
            "model_loading_config": {"model_id": NAME, "model_source": str(self.folder.absolute())},
            "accelerator_config": {"kind": "cpu" if self.device == "cpu" else "gpu"},
            "engine_kwargs": {**_OWN_KEYS[self.device], **_ENGINE_ARGS},
            "deployment_config": {"num_replicas": 1},
        }
        if batching_ms is not None:
            config["experimental_configs"] = {"stream_batching_interval_ms": batching_ms}
        ingress = {"ingress_deployment_config": _RAY_INGRESS} if has_ingress else {}
        return {"llm_configs": [config], **ingress}
