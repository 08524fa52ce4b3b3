"""What is wrong with a plan for NeuronCores, before anything is fetched, compiled or started. Pure.

Compiling takes minutes to an hour and a wrong shape is found at its end, so whatever can be known before is
refused before. Each check gives sentences that begin with the key at fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from configs.neuron_instances import (
    DEFAULT_LOGICAL_CORE_SIZE,
    LISTED_DEGREES,
    NEURON_INSTANCES,
    NeuronInstance,
)
from configs.schema import VllmModel
from configs.schema.engines.neuron import NeuronConfig
from serve_app.engines.neuron.plugins import Package, Plugin, plugin_of

_GIB = 1 << 30
_DECODE_BUCKET_TOKENS = 128  # what the native plugin's buckets of contexts are multiples of
_OURS = frozenset(
    {
        "NEURON_RT_NUM_CORES",
        "NEURON_RT_VISIBLE_CORES",
        "NEURON_LOGICAL_NC_CONFIG",
        "NEURON_COMPILE_CACHE_URL",
        "NEURON_COMPILED_ARTIFACTS",
        "VLLM_CACHE_ROOT",
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A model on an instance, with all defaults resolved."""

    config: VllmModel
    neuron: NeuronConfig
    instance: NeuronInstance
    plugin: Plugin
    logical_core_size: int

    @property
    def num_cores(self) -> int:
        """That the instance shows."""
        return self.instance.num_cores(self.logical_core_size)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What of a model's folder decides whether it can be split."""

    num_attention_heads: int | None
    num_key_value_heads: int | None
    num_weight_bytes: int | None  # None: no safetensors to count


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution of the engine's environment."""

    version: str
    has_module: bool  # False: a placeholder, or a broken installation


def plan(config: VllmModel, neuron: NeuronConfig, instance_type: str) -> Plan:
    """Resolve the defaults of an instance type that is known."""
    instance = NEURON_INSTANCES[instance_type]
    size = neuron.logical_core_size or DEFAULT_LOGICAL_CORE_SIZE[instance.family]
    return Plan(config, neuron, instance, plugin_of(neuron.plugin, instance.family), size)


def faults(made: Plan) -> list[str]:
    """What the configuration and the instance say, without the model's folder."""
    return [*_of_cores(made), *_of_plugin(made), *_of_buckets(made), *_of_arguments(made)]


def shape_faults(made: Plan, shape: ModelShape) -> list[str]:
    """What the model's folder says: heads must split evenly, and the weights fit."""
    degree, found = made.config.tensor_parallel_size, []
    heads, kv_heads = shape.num_attention_heads, shape.num_key_value_heads
    if heads is not None and heads % degree:
        found.append(
            f"tensor_parallel_size is {degree}, and the model's {heads} attention heads do not divide by it; "
            f"these do: {_words(n for n in range(1, made.num_cores + 1) if not heads % n and not made.num_cores % n)}"
        )
    elif kv_heads is not None and kv_heads % degree and degree % kv_heads:
        found.append(
            f"tensor_parallel_size is {degree}, and the model's {kv_heads} key-value heads can be neither divided "
            "by it nor copied evenly to it"
        )
    room_gib = degree * made.instance.memory_gib_per_core(made.logical_core_size)
    if shape.num_weight_bytes is not None and shape.num_weight_bytes > room_gib * _GIB:
        found.append(
            f"tensor_parallel_size is {degree}: these cores of {made.instance.name} have {room_gib:g} GiB, and the "
            f"weights alone {shape.num_weight_bytes / _GIB:.1f} GiB"
        )
    return found


def package_faults(made: Plan, installed: Mapping[str, Installed]) -> list[str]:
    """What the engine's environment says: packages that are absent, placeholders, or another version's."""
    absent: list[str] = []
    found: list[str] = []
    for package in made.plugin.packages:
        choices = [one for one in (package, *package.instead) if one.name in installed]
        faulty = [fault for one in choices if (fault := _package_fault(made, one, installed[one.name]))]
        if not choices:
            absent.append(package.words)
        elif len(faulty) == len(choices):
            found.append(faulty[0])
    if absent:
        found.insert(0, f"lacks {_words(absent)}")
    if not found:
        return []
    return [f"python: the environment {'; '.join(found)}. Install it {made.plugin.how_to_install()}"]


def _package_fault(made: Plan, package: Package, there: Installed) -> str | None:
    if not there.has_module:
        return f"has a {package.name} {there.version} without {package.module}: PyPI's placeholder"
    if package.wanted and not package.accepts(there.version):
        return f"has {package.name} {there.version}, and the {made.plugin.name} plugin needs {package.wanted}"
    return None


def visible_core_faults(made: Plan, visible: str | None) -> list[str]:
    """What Ray's assignment says: as many cores as asked for, side by side."""
    if visible is None:
        return []
    cores = _cores(visible)
    if cores is None:
        return [f"NEURON_RT_VISIBLE_CORES is {visible!r}, which names no cores"]
    degree = made.config.tensor_parallel_size
    if len(cores) != degree:
        return [
            f"tensor_parallel_size is {degree}, and this replica was given {len(cores)} NeuronCores ({visible})"
        ]
    if cores != list(range(cores[0], cores[0] + degree)):
        return [
            f"tensor_parallel_size is {degree}, and the NeuronCores {visible} that this replica was given do not lie "
            "side by side; give all models of the node the same tensor_parallel_size"
        ]
    return []


def unlisted_degree(made: Plan) -> str | None:
    """A warning where AWS's list of degrees, which is not of today, lacks the one that is asked for."""
    listed, degree = LISTED_DEGREES.get(made.instance.family), made.config.tensor_parallel_size
    if listed is None or degree in listed:
        return None
    return (
        f"AWS lists the degrees {_words(sorted(listed))} for {made.instance.family}, and "
        f"tensor_parallel_size {degree} is none of them"
    )


def _of_cores(made: Plan) -> Iterator[str]:
    degree, name = made.config.tensor_parallel_size, made.instance.name
    if made.neuron.logical_core_size is not None and made.instance.family != "trn2":
        yield f"neuron.logical_core_size is for trn2, and {name} has none"
    if degree > made.num_cores:
        yield (
            f"tensor_parallel_size is {degree}, and {name} has {made.num_cores} NeuronCores; a replica never "
            "spans nodes"
        )
    elif made.num_cores % degree:
        yield (
            f"tensor_parallel_size is {degree}, and the {made.num_cores} NeuronCores of {name} do not divide by it; "
            f"these do: {_words(n for n in range(1, made.num_cores + 1) if not made.num_cores % n)}"
        )


def _of_plugin(made: Plan) -> Iterator[str]:
    if made.instance.family not in made.plugin.families:
        yield (
            f"neuron.plugin is {made.plugin.name}, which runs on {_words(sorted(made.plugin.families))}, and not on "
            f"{made.instance.name}; use nxd"
        )
    cache = made.neuron.compile_cache
    if cache is not None and "://" in cache and made.plugin.name != "nxd":
        yield f"neuron.compile_cache is {cache}, and the {made.plugin.name} plugin keeps its cache in a folder only"
    if cache is not None and "://" in cache and not cache.startswith("s3://"):
        yield f"neuron.compile_cache is {cache}, and can be a folder or s3://"


def _of_buckets(made: Plan) -> Iterator[str]:
    neuron, longest = made.neuron, made.config.max_model_len
    if longest is None:
        yield "max_model_len must be set: programs for it are compiled before the first request"
        return
    if made.plugin.name == "nxd":
        yield from _of_nxd_buckets(neuron, longest)
        return
    engine_args = made.config.engine_args
    yield from _ends_with(
        "neuron.prefill_buckets", neuron.prefill_buckets, "max_num_batched_tokens", engine_args
    )
    yield from _ends_with("neuron.batch_buckets", neuron.batch_buckets, "max_num_seqs", engine_args)
    for bucket in neuron.decode_buckets:
        if bucket >= longest or bucket % _DECODE_BUCKET_TOKENS:
            yield (
                f"neuron.decode_buckets has {bucket}, which must be a multiple of {_DECODE_BUCKET_TOKENS} below "
                f"max_model_len {longest}"
            )


def _of_nxd_buckets(neuron: NeuronConfig, longest: int) -> Iterator[str]:
    if neuron.batch_buckets:
        yield "neuron.batch_buckets is for the native plugin; nxd compiles for engine_args.max_num_seqs"
    if neuron.prefill_buckets and neuron.prefill_buckets[-1] != longest:
        yield (
            f"neuron.prefill_buckets ends with {neuron.prefill_buckets[-1]}, and must end with max_model_len "
            f"{longest}: a prompt that no bucket holds cannot be read"
        )
    if neuron.decode_buckets and neuron.decode_buckets[-1] > longest:
        yield f"neuron.decode_buckets has {neuron.decode_buckets[-1]}, which is above max_model_len {longest}"


def _ends_with(
    key: str, buckets: Sequence[int], name: str, engine_args: Mapping[str, object]
) -> Iterator[str]:
    given = engine_args.get(name)
    if buckets and given is not None and given != buckets[-1]:
        yield f"{key} ends with {buckets[-1]}, and must end with engine_args.{name} {given}"


def _of_arguments(made: Plan) -> Iterator[str]:
    config = made.config
    if "additional_config" in config.engine_args:
        yield "engine_args.additional_config is set by the key neuron"
    if config.engine_args.get("quantization") is not None:
        yield (
            "engine_args.quantization must stay unset on NeuronCores: the model's folder or neuron.overrides say how "
            "weights are kept"
        )
    if config.gpu_memory_utilization is not None:
        yield "gpu_memory_utilization is for device: cuda"
    for name in sorted(_OURS & config.env.keys()):
        yield f"env.{name} is set by Manta, from neuron and tensor_parallel_size"
    needed = {"tensor_parallel_size", "max_model_len"} & made.neuron.overrides.keys()
    for name in sorted(needed | ({"tp_degree", "seq_len"} & made.neuron.overrides.keys())):
        yield f"neuron.overrides.{name} has a key of its own: tensor_parallel_size or max_model_len"


def _cores(visible: str) -> list[int] | None:
    """Of "4", "0-3" and "0,1,2,3"."""
    cores: list[int] = []
    for part in visible.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            return None
        cores += range(int(first), int(last or first) + 1)
    return sorted(cores)


def _words(numbers: Iterator[int] | Sequence[object]) -> str:
    return ", ".join(str(number) for number in numbers)
