"""All ways to vLLM have the same engine, however it is said."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.application import CannotStart, write_profile
from benchmarks.bare_vllm import Device
from benchmarks.bare_vllm import environment as bare_environment
from benchmarks.overhead.profile import platform_around
from benchmarks.overhead.vllm_settings import NAME, VllmSettings
from benchmarks.overhead.vllm_ways import vllm_lineup
from configs.load import read_profile
from configs.schema import LocalFolder, VllmModel
from serve_app.engines.vllm.command import command, environment

SETTINGS = VllmSettings(Path("env/bin/python"), Path("models/tiny"), num_threads=2)


def said(settings: VllmSettings, folder: Path) -> VllmModel:
    """As Manta's profile."""
    write_profile(folder / "profile.yaml", platform_around(settings.model()))
    (model,) = read_profile(folder / "profile.yaml").platform.models
    assert isinstance(model, VllmModel)
    return model


@pytest.fixture
def model(tmp_path: Path) -> VllmModel:
    return said(SETTINGS, tmp_path)


@pytest.mark.parametrize("device", get_args(Device))
def test_manta_starts_vllm_with_the_words_of_the_bare_server(device: Device, tmp_path: Path) -> None:
    settings = replace(SETTINGS, device=device)
    ours = command(said(settings, tmp_path), Path("python"), Path("folder"), Path("socket"))
    for flag, value in _options(settings.words()).items():
        assert _options(ours)[flag] == value, flag
    # What else ours says is the default, or where it listens.
    assert _options(ours).keys() - _options(settings.words()).keys() == {
        *("--uds", "--served-model-name", "--runner", "--tensor-parallel-size")
    }


@pytest.mark.parametrize("device", get_args(Device))
def test_its_processes_have_the_same_variables(device: Device, tmp_path: Path) -> None:
    settings = replace(SETTINGS, device=device)
    ours = environment(said(settings, tmp_path), settings.python, num_cpus=8, inherited={})
    bare = bare_environment(device, settings.num_threads)
    assert {name: ours[name] for name in bare} == bare
    assert ("OMP_NUM_THREADS" in ours) == ("OMP_NUM_THREADS" in bare)


def test_a_limit_of_ours_is_never_met(model: VllmModel) -> None:
    assert model.scaling.max_ongoing_requests > 128
    assert isinstance(model.weights, LocalFolder)
    assert Path(model.weights.path).is_absolute()


def test_ray_serve_llm_gets_the_same_arguments(model: VllmModel) -> None:
    (config,) = SETTINGS.ray_llm(None, has_ingress=True)["llm_configs"]
    assert config["model_loading_config"]["model_id"] == model.name == NAME
    assert config["engine_kwargs"] == {
        "dtype": model.dtype,
        "max_model_len": model.max_model_len,
        **model.engine_args,
    }
    assert "experimental_configs" not in config
    (config,) = replace(SETTINGS, device="cuda").ray_llm(None, has_ingress=True)["llm_configs"]
    assert config["accelerator_config"] == {"kind": "gpu"}


def test_direct_streaming_has_no_ingress_of_its_own() -> None:
    assert "ingress_deployment_config" not in SETTINGS.ray_llm(None, has_ingress=False)
    (config,) = SETTINGS.ray_llm(0.0, has_ingress=True)["llm_configs"]
    assert config["experimental_configs"] == {"stream_batching_interval_ms": 0.0}


@pytest.mark.parametrize("device", get_args(Device))
def test_vllm_as_it_comes_is_told_where_manta_starts_it_otherwise(device: Device, tmp_path: Path) -> None:
    lineup = vllm_lineup(replace(SETTINGS, device=device, python=Path(sys.executable)))
    names = {contender.name for contender in lineup.contenders}
    variable = "VLLM_ENABLE_V1_MULTIPROCESSING"
    ours = environment(said(replace(SETTINGS, device=device), tmp_path), SETTINGS.python, 1, inherited={})
    assert ("vllm-default" in names) == (ours.get(variable, "1") != "1")


def test_without_ray_serve_llm_it_says_how_to_get_it(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    lineup = vllm_lineup(VllmSettings(python, tmp_path)).only("ray-llm")
    with pytest.raises(CannotStart, match="make vllm-ray-llm"), lineup.contenders[0].running():
        pass


def _options(words: list[str]) -> dict[str, str]:
    """Flag -> its value; empty for a flag alone."""
    options: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            options[word] = "" if following.startswith("--") else following
    return options
