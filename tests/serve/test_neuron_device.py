from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.schema import LocalFolder, VllmModel
from configs.schema.engines.neuron import NeuronConfig
from serve_app.engines.neuron import machine
from serve_app.engines.neuron.checks import Installed
from serve_app.engines.neuron.device import NeuronDevice, check_plan
from serve_app.engines.neuron.plugins import NXD
from serve_app.engines.vllm.command import command, environment
from serve_app.errors import ConfigError


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 16, "num_key_value_heads": 8}))
    return folder


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """An inf2.xlarge's, as far as checks see it."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "neuron0").touch()
    (tmp_path / "dev" / "neuron_ctl").touch()
    return tmp_path / "dev"


@pytest.fixture(autouse=True)
def _no_cores_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEURON_RT_VISIBLE_CORES", raising=False)


def fake_python(folder: Path, **versions: str) -> Path:
    """An interpreter of an environment that has these distributions, with or (`name=-version`) without their code."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    modules = {package.name: package.module for package in NXD.packages}
    for name, version in versions.items():
        distribution = name.replace("_", "-")
        info = packages / f"{name}-{version.lstrip('-')}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version.lstrip('-')}\n"
        )
        if not version.startswith("-"):
            (packages / f"{modules[distribution]}.py").touch()
    starter = folder / "python"
    starter.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    starter.chmod(0o755)
    return starter


NXD_VERSIONS = {
    "vllm": "0.13.2",
    "torch_neuronx": "2.9",
    "neuronx_cc": "2.22",
    "vllm_neuron": "0.2.1",
    "neuronx_distributed_inference": "0.7",
}


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Of an environment with all that the plugin of Inf2 needs."""
    return fake_python(tmp_path / "environment", **NXD_VERSIONS)


def config(model_folder: Path, dev: Path, python: Path = Path("/bin/false"), **changes: Any) -> VllmModel:
    neuron = changes.pop("neuron", {"instance_type": "inf2.xlarge"})
    given: dict[str, Any] = {"tensor_parallel_size": 2, "max_model_len": 2048} | changes
    return VllmModel(
        name="llm",
        engine="vllm",
        device="neuron",
        weights=LocalFolder(path=str(model_folder)),
        neuron=NeuronConfig(**{"device_folder": str(dev)} | neuron),
        python=str(python),
        **given,
    )


@pytest.fixture
def device(tmp_path: Path) -> NeuronDevice:
    return NeuronDevice(home=tmp_path / "home", product_name=tmp_path / "product_name")


def test_a_machine_that_has_what_is_asked_for(
    model_folder: Path, dev: Path, device: NeuronDevice, python: Path
) -> None:
    chosen = config(model_folder, dev, python)
    device.check(chosen)
    device.check_model(chosen, model_folder)
    assert device.resources(chosen) == {"resources": {"neuron_cores": 2}}


def test_a_plan_is_checked_on_any_machine(model_folder: Path, tmp_path: Path, device: NeuronDevice) -> None:
    fine = config(model_folder, tmp_path / "no-devices")
    check_plan(fine)
    check_plan(
        fine.model_copy(update={"neuron": NeuronConfig(), "tensor_parallel_size": 1000})
    )  # nobody can tell
    with pytest.raises(
        ConfigError, match=r"^models\.llm\.tensor_parallel_size is 3, and inf2\.xlarge has 2 Neuron"
    ):
        check_plan(fine.model_copy(update={"tensor_parallel_size": 3}))
    with pytest.raises(ConfigError, match=r"^models\.llm\.tensor_parallel_size is 3"):
        device.resources(fine.model_copy(update={"tensor_parallel_size": 3}))


def test_faults_name_the_model_and_the_key(model_folder: Path, dev: Path, device: NeuronDevice) -> None:
    with pytest.raises(ConfigError, match=r"^models\.llm\.max_model_len must be set"):
        device.check(config(model_folder, dev, max_model_len=None))
    (model_folder / "config.json").write_text(json.dumps({"text_config": {"num_attention_heads": 15}}))
    with pytest.raises(
        ConfigError, match=r"^models\.llm\.tensor_parallel_size is 2, and the model's 15 attention"
    ):
        device.check_model(config(model_folder, dev), model_folder)


def test_a_machine_without_neuron_cores_is_named(
    model_folder: Path, tmp_path: Path, device: NeuronDevice
) -> None:
    with pytest.raises(
        ConfigError, match=r"models\.llm\.device is neuron, and this machine shows no NeuronCores"
    ):
        device.check(config(model_folder, tmp_path / "empty"))


def test_a_machine_that_shows_too_few_is_named(model_folder: Path, dev: Path, device: NeuronDevice) -> None:
    chosen = config(model_folder, dev, tensor_parallel_size=8, neuron={"instance_type": "inf2.48xlarge"})
    with pytest.raises(ConfigError, match="needs 8 physical NeuronCores, and this machine shows 2"):
        device.check(chosen)


def test_the_machine_names_its_own_type(
    model_folder: Path, dev: Path, tmp_path: Path, device: NeuronDevice, python: Path
) -> None:
    unnamed = config(model_folder, dev, python, neuron={})
    with pytest.raises(
        ConfigError, match=r"models\.llm\.neuron\.instance_type must be set: this machine does not"
    ):
        device.check(unnamed)
    (tmp_path / "product_name").write_text("inf2.xlarge\n")
    device.check(unnamed)
    other = config(model_folder, dev, neuron={"instance_type": "trn1.2xlarge"})
    with pytest.raises(
        ConfigError, match=r"instance_type is trn1\.2xlarge, and this machine is a inf2\.xlarge"
    ):
        device.check(other)


def test_an_unlisted_degree_is_a_warning(
    model_folder: Path, dev: Path, device: NeuronDevice, python: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 6):
        (dev / f"neuron{number}").touch()
    neuron = {"instance_type": "inf2.24xlarge"}
    with caplog.at_level(logging.WARNING):
        device.check(config(model_folder, dev, python, tensor_parallel_size=4, neuron=neuron))
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        device.check(config(model_folder, dev, python, tensor_parallel_size=12, neuron=neuron))
    assert "AWS lists the degrees" in caplog.text


def test_nxd_is_told_of_buckets_and_its_cache(
    model_folder: Path, dev: Path, tmp_path: Path, device: NeuronDevice
) -> None:
    neuron = {
        "instance_type": "inf2.xlarge",
        "prefill_buckets": [512, 2048],
        "decode_buckets": [1024, 2048],
        "overrides": {"fused_qkv": True},
        "compiled_artifacts": "/artifacts/llm",
    }
    chosen = config(model_folder, dev, neuron=neuron)
    assert device.arguments(chosen) == {
        "additional_config": {
            "override_neuron_config": {
                "context_encoding_buckets": [512, 2048],
                "token_generation_buckets": [1024, 2048],
                "enable_bucketing": True,
                "fused_qkv": True,
            }
        }
    }
    assert device.environment(chosen, 4) == {
        "NEURON_RT_NUM_CORES": "2",
        "NEURON_COMPILE_CACHE_URL": str(tmp_path / "home" / "neuron-cache"),
        "VLLM_NEURON_FRAMEWORK": "neuronx-distributed-inference",
        "NEURON_COMPILED_ARTIFACTS": "/artifacts/llm",
    }


def test_the_native_plugin_is_told_the_same_in_its_words(
    model_folder: Path, dev: Path, device: NeuronDevice
) -> None:
    neuron = {
        "instance_type": "trn2.3xlarge",
        "prefill_buckets": [512, 1024],
        "batch_buckets": [1, 8],
        "decode_buckets": [256],
        "compile_cache": "/nvme/neuron",
    }
    chosen = config(model_folder, dev, tensor_parallel_size=4, neuron=neuron)
    assert device.arguments(chosen) == {
        "additional_config": {
            "neuron_config": {
                "num_batched_tokens_buckets": [512, 1024],
                "num_seqs_buckets": [1, 8],
                "decode_context_length_buckets": [256],
            }
        },
        "max_num_batched_tokens": 1024,
        "max_num_seqs": 8,
    }
    assert device.environment(chosen, 4) == {
        "NEURON_RT_NUM_CORES": "4",
        "VLLM_CACHE_ROOT": "/nvme/neuron",
        "NEURON_LOGICAL_NC_CONFIG": "2",
    }


def test_without_buckets_the_plugin_chooses(model_folder: Path, dev: Path, device: NeuronDevice) -> None:
    assert device.arguments(config(model_folder, dev)) == {}


def test_an_environment_without_the_packages_is_refused(
    model_folder: Path, dev: Path, tmp_path: Path, device: NeuronDevice
) -> None:
    bare = fake_python(tmp_path / "bare")
    with pytest.raises(
        ConfigError,
        match=r"^models\.llm\.python: the environment lacks vllm, torch-neuronx, .* pip install --extra",
    ):
        device.check(config(model_folder, dev, bare))
    other = fake_python(tmp_path / "other", **NXD_VERSIONS | {"vllm": "0.24.0", "vllm_neuron": "-1.0.0"})
    with pytest.raises(
        ConfigError, match=r"has vllm 0\.24\.0, and the nxd plugin needs ==0\.13.*; has a vllm-neuron"
    ):
        device.check(config(model_folder, dev, other))


def test_cores_that_ray_gave_are_looked_at(
    model_folder: Path, dev: Path, device: NeuronDevice, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "0")
    with pytest.raises(ConfigError, match="this replica was given 1 NeuronCores"):
        device.check(config(model_folder, dev, python))
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "0,1")
    device.check(config(model_folder, dev, python))


def test_what_an_environment_has_is_read_without_importing_it(tmp_path: Path) -> None:
    python = fake_python(tmp_path, vllm="0.13.2", vllm_neuron="-1.0.0")
    (tmp_path / "packages" / "vllm.py").write_text("raise SystemExit('imported')")
    found = machine.installed(python, NXD)
    assert found == {
        "vllm": Installed("0.13.2", has_module=True),
        "vllm-neuron": Installed("1.0.0", has_module=False),
    }


def test_an_interpreter_that_fails_has_nothing() -> None:
    assert machine.installed(Path("/bin/false"), NXD) == {}


def test_vllms_whole_command_line(model_folder: Path, dev: Path) -> None:
    """As it is started: what the device adds to what every model has."""
    chosen = config(model_folder, dev, neuron={"instance_type": "inf2.xlarge", "prefill_buckets": [2048]})
    python = Path("/path/to/vllm/bin/python")
    words = command(chosen, python, model_folder, Path("/tmp/socket"))
    at = words.index("--additional-config")
    assert json.loads(words[at + 1]) == {
        "override_neuron_config": {"context_encoding_buckets": [2048], "enable_bucketing": True}
    }
    assert words[words.index("--tensor-parallel-size") + 1] == "2"
    assert words[words.index("--max-model-len") + 1] == "2048"
    inherited = {"NEURON_RT_VISIBLE_CORES": "0,1", "PYTHONPATH": "/ray", "PATH": "/usr/bin"}
    variables = environment(chosen, python, 4, inherited)
    assert variables["PATH"] == "/path/to/vllm/bin:/usr/bin"  # where AWS's plugin looks for its compiler
    assert variables["NEURON_RT_VISIBLE_CORES"] == "0,1"
    assert variables["NEURON_RT_NUM_CORES"] == "2"
    assert "PYTHONPATH" not in variables
