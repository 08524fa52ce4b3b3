from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from configs.neuron_instances import DEFAULT_LOGICAL_CORE_SIZE, NEURON_INSTANCES
from configs.schema import LocalFolder, VllmModel
from configs.schema.engines.neuron import NeuronConfig
from serve_app.engines.neuron.checks import (
    Installed,
    ModelShape,
    Plan,
    faults,
    package_faults,
    plan,
    shape_faults,
    unlisted_degree,
    visible_core_faults,
)
from serve_app.engines.neuron.plugins import INDEX

INF2, TRN1, TRN2 = "inf2.48xlarge", "trn1.32xlarge", "trn2.48xlarge"
NEURON_KEYS = set(NeuronConfig.model_fields)


def made(instance: str, degree: int, **changes: Any) -> Plan:
    neuron = NeuronConfig(**{name: changes.pop(name) for name in NEURON_KEYS & changes.keys()})
    given: dict[str, Any] = {"max_model_len": 4096} | changes
    config = VllmModel(
        name="llm",
        engine="vllm",
        device="neuron",
        weights=LocalFolder(path="/model"),
        tensor_parallel_size=degree,
        neuron=neuron,
        **given,
    )
    return plan(config, neuron, instance)


@pytest.mark.parametrize(
    ("instance", "num_cores", "memory_gib"),
    [
        ("inf2.xlarge", 2, 16),
        ("inf2.8xlarge", 2, 16),
        ("inf2.24xlarge", 12, 16),
        (INF2, 24, 16),
        ("trn1.2xlarge", 2, 16),
        (TRN1, 32, 16),
        ("trn1n.32xlarge", 32, 16),
        ("trn2.3xlarge", 4, 24),
        (TRN2, 64, 24),
        ("trn2u.48xlarge", 64, 24),
    ],
)
def test_what_an_instance_shows_by_default(instance: str, num_cores: int, memory_gib: int) -> None:
    known = NEURON_INSTANCES[instance]
    size = DEFAULT_LOGICAL_CORE_SIZE[known.family]
    assert (known.num_cores(size), known.memory_gib_per_core(size)) == (num_cores, memory_gib)


def test_every_instance_is_tested_above() -> None:
    assert len(NEURON_INSTANCES) == 10


@pytest.mark.parametrize(
    "fine",
    [
        made(INF2, 24),
        made(
            INF2, 8, prefill_buckets=(512, 4096), decode_buckets=(1024, 4096), compile_cache="s3://cache/llm"
        ),
        made(TRN1, 32),
        made(TRN2, 64, prefill_buckets=(512, 2048), batch_buckets=(1, 8), decode_buckets=(256, 1024)),
        made(TRN2, 128, logical_core_size=1),
        made(TRN2, 8, plugin="nxd", prefill_buckets=(4096,)),
    ],
)
def test_plans_that_can_work_have_no_faults(fine: Plan) -> None:
    assert faults(fine) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            made(INF2, 32),
            "tensor_parallel_size is 32, and inf2.48xlarge has 24 NeuronCores; a replica never spans",
        ),
        (made("trn2.3xlarge", 8), "tensor_parallel_size is 8, and trn2.3xlarge has 4 NeuronCores"),
        (
            made(INF2, 16),
            "24 NeuronCores of inf2.48xlarge do not divide by it; these do: 1, 2, 3, 4, 6, 8, 12, 24",
        ),
        (
            made(TRN1, 2, logical_core_size=2),
            "neuron.logical_core_size is for trn2, and trn1.32xlarge has none",
        ),
        (
            made(INF2, 8, plugin="native"),
            "neuron.plugin is native, which runs on trn2, and not on inf2.48xlarge",
        ),
        (made(TRN2, 8, compile_cache="s3://cache"), "the native plugin keeps its cache in a folder only"),
        (
            made(INF2, 8, compile_cache="gs://cache"),
            "neuron.compile_cache is gs://cache, and can be a folder or s3://",
        ),
        (made(INF2, 8, max_model_len=None), "max_model_len must be set: programs for it are compiled"),
        (made(INF2, 8, prefill_buckets=(512, 2048)), "ends with 2048, and must end with max_model_len 4096"),
        (made(INF2, 8, prefill_buckets=(512, 8192)), "ends with 8192, and must end with max_model_len 4096"),
        (
            made(INF2, 8, decode_buckets=(512, 8192)),
            "neuron.decode_buckets has 8192, which is above max_model_len",
        ),
        (made(INF2, 8, batch_buckets=(1, 2)), "neuron.batch_buckets is for the native plugin"),
        (
            made(TRN2, 8, prefill_buckets=(512,), engine_args={"max_num_batched_tokens": 4096}),
            "neuron.prefill_buckets ends with 512, and must end with engine_args.max_num_batched_tokens 4096",
        ),
        (
            made(TRN2, 8, batch_buckets=(1, 8), engine_args={"max_num_seqs": 16}),
            "neuron.batch_buckets ends with 8, and must end with engine_args.max_num_seqs 16",
        ),
        (
            made(TRN2, 8, decode_buckets=(200,)),
            "has 200, which must be a multiple of 128 below max_model_len 4096",
        ),
        (
            made(TRN2, 8, decode_buckets=(4096,)),
            "has 4096, which must be a multiple of 128 below max_model_len 4096",
        ),
        (
            made(INF2, 8, engine_args={"additional_config": {}}),
            "engine_args.additional_config is set by the key neuron",
        ),
        (
            made(INF2, 8, engine_args={"quantization": "neuron_quant"}),
            "engine_args.quantization must stay unset",
        ),
        (made(INF2, 8, gpu_memory_utilization=0.9), "gpu_memory_utilization is for device: cuda"),
        (made(INF2, 8, env={"NEURON_RT_NUM_CORES": "2"}), "env.NEURON_RT_NUM_CORES is set by Manta"),
        (made(INF2, 8, overrides={"tp_degree": 4}), "neuron.overrides.tp_degree has a key of its own"),
    ],
)
def test_what_cannot_work_is_refused_by_name(wrong: Plan, words: str) -> None:
    (fault,) = faults(wrong)
    assert words in fault


def test_all_faults_are_told_at_once() -> None:
    assert len(faults(made(INF2, 32, max_model_len=None, gpu_memory_utilization=0.5))) == 3


@pytest.mark.parametrize(
    ("degree", "shape", "words"),
    [
        (8, ModelShape(32, 8, 16 << 30), None),
        (
            24,
            ModelShape(32, 8, None),
            "the model's 32 attention heads do not divide by it; these do: 1, 2, 4, 8",
        ),
        (
            8,
            ModelShape(24, 6, None),
            "6 key-value heads can be neither divided by it nor copied evenly to it",
        ),
        (12, ModelShape(24, 4, None), None),  # each is copied to three cores
        (2, ModelShape(32, 8, 140 << 30), "have 32 GiB, and the weights alone 140.0 GiB"),
        (8, ModelShape(None, None, None), None),
    ],
)
def test_a_model_must_split_evenly_and_fit(degree: int, shape: ModelShape, words: str | None) -> None:
    found = shape_faults(made(INF2, degree), shape)
    assert (words is None) == (found == [])
    assert words is None or words in found[0]


REAL = {
    "vllm": Installed("0.13.2", has_module=True),
    "vllm-neuron": Installed("0.2.1", has_module=True),
    "torch-neuronx": Installed("2.9.0", has_module=True),
    "neuronx-cc": Installed("2.22", has_module=True),
    "neuronx-distributed-inference": Installed("0.7.1", has_module=True),
}


def test_the_right_packages_are_fine() -> None:
    assert package_faults(made(INF2, 8), REAL) == []
    native = REAL | {"vllm": Installed("0.24.0", has_module=True)}
    assert package_faults(made(TRN2, 8), native) == []
    as_aws_ships_it = native | {"libtorch-neuronx-lite": Installed("2.11.0.1.0", has_module=True)}
    del as_aws_ships_it["torch-neuronx"]
    assert package_faults(made(TRN2, 8), as_aws_ships_it) == []
    (fault,) = package_faults(made(INF2, 8), as_aws_ships_it | {"vllm": REAL["vllm"]})
    assert fault.startswith("python: the environment lacks torch-neuronx. Install it")


def test_either_side_of_pytorch_will_do_for_the_native_plugin() -> None:
    without = {name: one for name, one in REAL.items() if name != "torch-neuronx"}
    (fault,) = package_faults(made(TRN2, 8), without | {"vllm": Installed("0.24.0", has_module=True)})
    assert fault.startswith(
        "python: the environment lacks libtorch-neuronx-lite or torch-neuronx. Install it"
    )
    assert "which brings the driver, neuronx-cc and libtorch-neuronx-lite" in fault
    placeholder = {"libtorch-neuronx-lite": Installed("0.0.1", has_module=False)}
    (fault,) = package_faults(
        made(TRN2, 8), without | placeholder | {"vllm": Installed("0.24.0", has_module=True)}
    )
    assert "has a libtorch-neuronx-lite 0.0.1 without libtorch_neuronx_lite: PyPI's placeholder" in fault


def test_absent_packages_are_named_with_where_they_come_from() -> None:
    (fault,) = package_faults(made(INF2, 8), {})
    assert fault.startswith(
        "python: the environment lacks vllm, torch-neuronx, neuronx-cc, vllm-neuron, neuronx-distributed-inference. "
    )
    assert "git clone --branch 0.2.1-lts https://github.com/vllm-project/vllm-neuron.git" in fault
    assert f"pip install --extra-index-url={INDEX}" in fault
    assert "Neuron SDK 2.27 to 2.31" in fault


def test_a_placeholder_of_the_package_index_is_told_apart() -> None:
    stub = REAL | {"vllm-neuron": Installed("1.0.0", has_module=False)}
    (fault,) = package_faults(made(INF2, 8), stub)
    assert "has a vllm-neuron 1.0.0 without vllm_neuron: PyPI's placeholder" in fault


@pytest.mark.parametrize(
    ("instance", "version", "wanted"),
    [(INF2, "0.24.0", "==0.13.*"), (TRN2, "0.13.2", ">=0.24"), (TRN2, "dev", ">=0.24")],
)
def test_another_vllm_than_the_plugins_is_refused(instance: str, version: str, wanted: str) -> None:
    (fault,) = package_faults(made(instance, 8), REAL | {"vllm": Installed(version, has_module=True)})
    assert f"has vllm {version}, and the" in fault
    assert f"plugin needs {wanted}" in fault


@pytest.mark.parametrize(
    ("visible", "words"),
    [
        (None, None),
        ("8-15", None),
        ("0,1,2,3,4,5,6,7", None),
        ("0,1,2", "this replica was given 3 NeuronCores (0,1,2)"),
        ("0,1,2,3,8,9,10,11", "do not lie side by side"),
        ("all", "NEURON_RT_VISIBLE_CORES is 'all', which names no cores"),
    ],
)
def test_rays_cores_must_be_enough_and_side_by_side(visible: str | None, words: str | None) -> None:
    found = visible_core_faults(made(INF2, 8), visible)
    assert (words is None) == (found == [])
    assert words is None or words in found[0]


def test_a_degree_that_aws_does_not_list_is_warned_of() -> None:
    assert unlisted_degree(made(INF2, 24)) is None
    assert "AWS lists the degrees 1, 2, 4, 8, 24 for inf2" in (unlisted_degree(made(INF2, 12)) or "")
    assert unlisted_degree(made(TRN2, 16)) is None  # it says nothing of Trn2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"instance_type": "p5.48xlarge"},
            "'p5.48xlarge' has no NeuronCores that Manta knows; it knows: inf2.xlarge,",
        ),
        ({"prefill_buckets": (512, 256)}, "prefill_buckets must ascend, each number once"),
        ({"batch_buckets": (1, 1)}, "batch_buckets must ascend, each number once"),
        ({"buckets": (1,)}, "Extra inputs are not permitted"),
    ],
)
def test_what_the_schema_refuses(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        NeuronConfig(**given)


def test_its_settings_are_for_its_device() -> None:
    with pytest.raises(ValidationError, match="neuron is for device: neuron, and this is device: cpu"):
        VllmModel(name="llm", engine="vllm", weights=LocalFolder(path="/model"), neuron=NeuronConfig())
