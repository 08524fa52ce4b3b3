"""The command line and the environment of vLLM's server, from configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.load import ProfileError, parse_platform
from configs.schema import LoraConfig, VllmModel
from serve_app.engines.vllm.command import arguments, command, environment, words_of
from serve_app.engines.vllm.devices import CpuDevice, CudaDevice
from serve_app.errors import ConfigError

PYTHON = Path("/vllm/bin/python")


def model(**changes: Any) -> VllmModel:
    return VllmModel.model_validate(
        {"engine": "vllm", "name": "chat", "weights": {"path": "/models/chat"}} | changes
    )


def test_the_command_line() -> None:
    words = command(
        model(max_model_len=2048), Path("/venv/python"), Path("/models/chat"), Path("/s/server.sock")
    )
    assert words[:7] == [
        "/venv/python", "-m", "vllm.entrypoints.cli.main", "serve", "/models/chat", "--uds", "/s/server.sock",
    ]  # fmt: skip
    rest = dict(zip(words[7::2], words[8::2], strict=False))
    assert rest["--served-model-name"] == "chat"
    assert rest["--max-model-len"] == "2048"
    assert "--gpu-memory-utilization" not in words


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max_num_seqs", 64, ["--max-num-seqs", "64"]),
        ("enforce_eager", True, ["--enforce-eager"]),
        ("enable_prefix_caching", False, ["--no-enable-prefix-caching"]),
        ("allowed_local_media_path", "/a b", ["--allowed-local-media-path", "/a b"]),
        ("middlewares", ["a", "b"], ["--middlewares", "a", "b"]),
        ("speculative_config", {"n": 2}, ["--speculative-config", '{"n": 2}']),
    ],
)
def test_an_argument_in_words(name: str, value: Any, words: list[str]) -> None:
    assert words_of(name, value) == words


def test_vllms_own_arguments_come_last_and_none_leaves_one_out() -> None:
    given = arguments(model(engine_args={"max_num_seqs": 3, "disable_uvicorn_access_log": None}))
    assert given["max_num_seqs"] == 3
    assert "disable_uvicorn_access_log" not in given


def test_parsers_and_adapters_bring_what_they_need() -> None:
    given = arguments(model(tool_call_parser="hermes", lora=LoraConfig(max_loras=2, max_lora_rank=8)))
    assert given["enable_auto_tool_choice"] is True
    assert (given["enable_lora"], given["max_loras"], given["max_lora_rank"]) == (True, 2, 8)
    assert "max_cpu_loras" not in given


def test_the_environment_is_the_replicas_without_its_interpreter() -> None:
    inherited = {"PATH": "/bin", "PYTHONPATH": "/ray", "VIRTUAL_ENV": "/venv", "CUDA_VISIBLE_DEVICES": "3"}
    variables = environment(model(num_threads=4, env={"VLLM_LOGGING_LEVEL": "DEBUG"}), PYTHON, 1, inherited)
    assert variables["PATH"] == "/vllm/bin:/bin"  # as in an environment that is activated
    assert "PYTHONPATH" not in variables
    assert "VIRTUAL_ENV" not in variables
    assert variables["CUDA_VISIBLE_DEVICES"] == "3"
    assert variables["OMP_NUM_THREADS"] == "4"
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in variables
    assert environment(model(lora=LoraConfig()), PYTHON, 2, {})["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert environment(model(), PYTHON, 2, {})["OMP_NUM_THREADS"] == "2"


def test_on_the_cpu_the_model_is_in_the_engines_own_process_unless_the_configuration_says_otherwise() -> None:
    variable = "VLLM_ENABLE_V1_MULTIPROCESSING"
    assert environment(model(), PYTHON, 1, {})[variable] == "0"
    assert environment(model(env={variable: "1"}), PYTHON, 1, {})[variable] == "1"
    assert variable not in environment(model(device="cuda"), PYTHON, 1, {})


def test_a_gpus_replica_reserves_it_and_stays_on_its_node(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"nvidia{number}").touch()
    (tmp_path / "nvidiactl").touch()
    device = CudaDevice(tmp_path)
    two = model(device="cuda", tensor_parallel_size=2)
    assert device.resources(two) == {"num_gpus": 2}
    assert device.arguments(two) == {"distributed_executor_backend": "mp"}
    device.check(two)
    with pytest.raises(
        ConfigError, match=r"models\.chat\.tensor_parallel_size is 3, and this node has 2 GPUs"
    ):
        device.check(model(device="cuda", tensor_parallel_size=3))


def test_models_that_want_more_gpus_together_than_there_are(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"nvidia{number}").touch()
    device = CudaDevice(tmp_path)
    one, two = (
        model(device="cuda"),
        model(device="cuda", name="large", scaling={"min_replicas": 2, "max_replicas": 2}),
    )
    device.check_together([])
    device.check_together([one])
    device.check_together([two])
    with pytest.raises(
        ConfigError,
        match=r"need 3 GPUs \(models\.chat\.tensor_parallel_size for 1, models\.large\.tensor_parallel_size for 2\)",
    ):
        device.check_together([one, two])


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\.chat\.device is cuda"):
        CudaDevice(tmp_path).check(model(device="cuda"))
    with pytest.raises(ConfigError, match=r"models\.chat\.tensor_parallel_size"):
        CpuDevice().check(model(tensor_parallel_size=2))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"engine_args": {"dtype": "half"}}, "engine_args.dtype is set by the key dtype"),
        ({"engine_args": {"port": 1}}, "engine_args.port is about vLLM's server"),
        ({"engine_args": {"max-num-seqs": 1}}, "max-num-seqs"),
        ({"engine_args": {"max_model": 1}}, "engine_args.max_model would be read as max_model_len"),
        ({"engine_args": {"pipeline_parallel_size": 2}}, "tensor_parallel_size counts a replica's devices"),
        ({"gpu_memory_utilization": 0.5}, "gpu_memory_utilization is for device: cuda"),
        ({"runner": "pooling", "tool_call_parser": "hermes"}, "are for runner: generate"),
        ({"weights": {"path": "/x", "revision": "y"}}, "weights.path.revision"),
    ],
)
def test_what_contradicts_itself_is_refused_on_one_line(changes: dict[str, Any], fault: str) -> None:
    args = {
        "models": [model().model_dump(exclude_unset=True) | changes],
        "embedder": {"name": "embed", "engine": "mock", "dim": 8},
        "agent": {"name": "manta", "models": ["chat"]},
    }
    with pytest.raises(ProfileError) as caught:
        parse_platform(args)
    assert fault in str(caught.value)


def test_an_argument_of_its_own_is_no_beginning_of_another() -> None:
    assert model(engine_args={"tokenizer": "/tokenizer"}).engine_args == {"tokenizer": "/tokenizer"}
