"""Ray Serve LLM's settings within a Serve config: the `args` of `ray.serve.llm:build_openai_app`.

Ray refuses keys of these that it does not know (`LLMConfig`, `ModelLoadingConfig` and `LoraConfig` of Ray 2.60,
ray/llm/_internal/serve/core/configs/llm_config.py); in the options of the deployments it ignores them, as elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import Located, at, error, mapping, mappings, warning
from cluster.lint.vllm import misspelt
from cluster.lint.words import closest, listed
from cluster.lint.yaml_text import Path

BUILDERS = ("ray.serve.llm:build_openai_app", "ray.serve.llm:build_llm_deployment")
_ARGS = ("llm_configs", "ingress_cls_config", "ingress_deployment_config")
_CONFIG = (
    "runtime_env", "model_loading_config", "llm_engine", "engine_kwargs", "accelerator_type", "accelerator_config",
    "placement_group_config", "lora_config", "deployment_config", "server_cls", "experimental_configs",
    "log_engine_metrics", "callback_config",
)  # fmt: skip
_PARTS = {
    "model_loading_config": ("model_id", "model_source", "tokenizer_source"),
    "lora_config": (
        "dynamic_lora_loading_path", "max_num_adapters_per_replica", "download_timeout_s", "max_download_tries",
    ),
    "placement_group_config": ("bundles", "bundle_per_worker", "strategy"),
}  # fmt: skip
# Of former Rays: taken then, refused now.
_FORMER = {"resources_per_bundle": "placement_group_config.bundle_per_worker"}
# ray/util/accelerators/accelerators.py, those with which engines run; A10 is taken for A10G.
_ACCELERATORS = (
    "V100", "P100", "T4", "P4", "K80", "A10", "A10G", "L4", "L40S", "A100", "A100-40G", "A100-80G", "H100", "H200",
    "H20",
    "B200", "B300", "GB200", "GB300", "RTX-PRO-6000", "Intel-GPU-Max-1550", "Intel-GPU-Max-1100", "Intel-GAUDI",
    "AMD-Instinct-MI100", "AMD-Instinct-MI250X", "AMD-Instinct-MI250X-MI250", "AMD-Instinct-MI210",
    "AMD-Instinct-MI300A", "AMD-Instinct-MI300X-OAM", "AMD-Instinct-MI300X-HF", "AMD-Instinct-MI308X",
    "AMD-Instinct-MI325X-OAM", "AMD-Instinct-MI350X-OAM", "AMD-Instinct-MI355X-OAM", "aws-neuron-core", "TPU-V2",
    "TPU-V3", "TPU-V4", "TPU-V5P", "TPU-V5LITEPOD", "TPU-V6E", "TPU-V7X", "Ascend910B", "Ascend910B4", "MXC500",
    "MXC550", "FURIOSA_RNGD",
)  # fmt: skip


def check_llm(config: Located, path: Path, args: object) -> Iterator[Finding]:
    """What Ray refuses or ignores of the args at the path."""
    yield from _unknown(config, path, mapping(args), _ARGS, "refuses the application")
    for where, llm in llm_configs(path, args):
        yield from _llm(config, where, llm)


def llm_configs(path: Path, args: object) -> list[tuple[Path, Mapping[str, Any]]]:
    """Each model's settings with their path."""
    return [
        ((*path, "llm_configs", index), each) for index, each in mappings(mapping(args).get("llm_configs"))
    ]


def as_deployments(path: Path, args: object) -> list[tuple[Path, dict[str, Any]]]:
    """Each model as the deployment that Ray makes of it: its replicas, and a bundle for each device of one."""
    found: list[tuple[Path, dict[str, Any]]] = []
    for where, llm in llm_configs(path, args):
        settings = mapping(llm.get("deployment_config"))
        name = at(llm, "model_loading_config", "model_id")
        made = {**settings, "name": f"LLMServer:{name}", "placement_group_bundles": _bundles(llm)}
        found.append(((*where, "deployment_config"), made))
    return found


def _bundles(llm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """https://docs.ray.io/en/latest/serve/llm: a bundle with a GPU for each of tensor times pipeline parallel."""
    given = mapping(llm.get("placement_group_config"))
    if given.get("bundles") is not None:
        return [bundle for _, bundle in mappings(given["bundles"])]
    each = mapping(given.get("bundle_per_worker")) or {"GPU": 1}
    return [each] * devices_of(llm)


def devices_of(llm: Mapping[str, Any]) -> int:
    """Tensor times pipeline parallel."""
    sizes = [at(llm, "engine_kwargs", f"{kind}_parallel_size") for kind in ("tensor", "pipeline")]
    number = 1
    for size in sizes:
        # What is larger than any machine is said by the rules of room; it need not be written out here.
        number *= min(size, 1024) if isinstance(size, int) and size > 0 else 1
    return number


def _unknown(
    config: Located, path: Path, given: Mapping[str, Any], known: Sequence[str], what: str
) -> Iterator[Finding]:
    for key in given:
        if key in _FORMER:
            message = f"{key} is a key of former Rays: a new one {what}"
            yield warning("serve/former-field", config, (*path, key), message, f"write {_FORMER[key]}")
        elif key not in known:
            meant = closest(str(key), known)
            fix = f"did you mean {meant}?" if meant else f"remove it; known here: {listed(known)}"
            yield error(
                "serve/unknown-field", config, (*path, str(key)), f"unknown field {key}; Ray {what}", fix
            )


def _llm(config: Located, path: Path, llm: Mapping[str, Any]) -> Iterator[Finding]:
    refuses = "refuses the application"
    yield from _unknown(config, path, llm, _CONFIG, refuses)
    for part, known in _PARTS.items():
        yield from _unknown(config, (*path, part), mapping(llm.get(part)), known, refuses)
    loading = llm.get("model_loading_config")
    is_misspelt = any(closest(str(key), _CONFIG) == "model_loading_config" for key in llm)
    if loading is None and is_misspelt:
        pass  # said already
    elif not isinstance(loading, Mapping):
        message = "model_loading_config is missing: Ray refuses the application"
        yield error("serve/required", config, path, message, "add model_loading_config with model_id")
    elif "model_id" not in loading:
        message = "model_id is missing: Ray refuses the application"
        yield error("serve/required", config, (*path, "model_loading_config"), message, "add model_id")
    kind = llm.get("accelerator_type")
    if isinstance(kind, str) and kind not in _ACCELERATORS:
        meant = closest(kind, _ACCELERATORS)
        fix = f"did you mean {meant}?" if meant else f"write one of {listed(_ACCELERATORS, 12)}"
        yield error(
            "serve/value", config, (*path, "accelerator_type"), f"{kind!r} is no accelerator of Ray's", fix
        )
    engine = mapping(llm.get("engine_kwargs"))
    for key in engine:
        meant = misspelt(str(key))
        if meant is not None:
            message = f"vLLM most likely knows no {key}: the replica then ends as it starts"
            yield warning(
                "serve/engine", config, (*path, "engine_kwargs", str(key)), message, f"did you mean {meant}?"
            )
    if llm.get("log_engine_metrics", True) is True and engine.get("disable_log_stats") is True:
        message = "disable_log_stats with log_engine_metrics, which needs them: Ray refuses the application"
        where = (*path, "engine_kwargs", "disable_log_stats")
        yield error("serve/value", config, where, message, "remove it, or set log_engine_metrics: false")
