from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.application import write_profile
from benchmarks.errors import BadTarget
from benchmarks.llamacpp_chat.cases import Case
from benchmarks.llamacpp_chat.settings import Settings, engine_config, platform
from benchmarks.llamacpp_chat.subjects import (
    DEFAULT,
    Tools,
    describe,
    llama_cpp_server_command,
    llama_server_command,
    locked_command,
    running,
    sampling_of,
)
from configs.load import read_profile
from configs.schema import LlamaCppModel

CASE = Case(16, 128, 128, 48)
SHARED = Case(16, 1152, 128, 48, shared_tokens=1024)
SETTINGS = Settings(Path("m.gguf"), num_threads=2)


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_llama_server_has_a_slot_for_each_caller_with_the_cases_context() -> None:
    command = llama_server_command(Path("llama-server"), SETTINGS, CASE, 8123)
    assert option(command, "--parallel") == "16"
    assert option(command, "--ctx-size") == str(16 * 512)
    assert (option(command, "--threads"), option(command, "--threads-batch")) == ("2", "2")
    assert option(command, "--flash-attn") == "on"
    assert option(command, "--host") == "127.0.0.1"
    assert "--batch-size" not in command


def test_llama_servers_prompt_cache_is_on_where_prompts_share_something() -> None:
    assert "--no-cache-prompt" in llama_server_command(Path("x"), SETTINGS, CASE, 1)
    shared = llama_server_command(Path("x"), SETTINGS, SHARED, 1)
    assert "--cache-prompt" in shared
    assert "--cache-ram" not in shared


@pytest.mark.parametrize(("step_tokens", "expected"), [(None, "512"), (128, "128")])
def test_the_same_step_is_the_engines(step_tokens: int | None, expected: str) -> None:
    settings = Settings(Path("m.gguf"), 2, step_tokens)
    command = llama_server_command(Path("x"), settings, CASE, 1, has_same_step=True)
    assert option(command, "--batch-size") == option(command, "--ubatch-size") == expected
    model = LlamaCppModel.model_validate(engine_config(settings, CASE))
    assert model.max_step_tokens == int(expected)


def test_pythons_servers_have_the_context_of_one_text() -> None:
    served = llama_cpp_server_command(SETTINGS, CASE, 8123)
    assert option(served, "--n_ctx") == option(locked_command(SETTINGS, CASE, 1), "--context-tokens") == "512"
    assert option(served, "--interrupt_requests") == "false"  # else callers cut each other's streams
    assert option(served, "--n_threads_batch") == "2"


def test_the_engine_has_the_context_that_llama_server_has() -> None:
    model = LlamaCppModel.model_validate(engine_config(SETTINGS, SHARED))
    assert model.max_sequences == 16
    assert model.max_sequences * model.context_tokens == int(
        option(llama_server_command(Path("x"), SETTINGS, SHARED, 1), "--ctx-size")
    )
    assert model.num_threads == 2


def test_the_profile_is_one_that_manta_reads(tmp_path: Path) -> None:
    profile = read_profile(write_profile(tmp_path / "profile.yaml", platform(SETTINGS, CASE)))
    (model,) = profile.platform.models
    assert isinstance(model, LlamaCppModel)
    assert model.context_tokens == 512
    assert profile.platform.ingress.default_deadline_s == 600


@pytest.mark.parametrize("name", ["llama-server", "llama_cpp.server"])
def test_what_is_not_installed_is_said_with_the_command(name: str, tmp_path: Path) -> None:
    tools = Tools(tmp_path / "llama-server", tmp_path / "extras")
    with pytest.raises(BadTarget, match="make llama"), running(name, SETTINGS, CASE, tools):  # type: ignore[arg-type]
        pass


def test_results_say_how_each_server_is_started() -> None:
    tools = Tools(Path("llama-server"), Path("extras"))
    said = {name: describe(name, SETTINGS, CASE, tools) for name in DEFAULT}
    assert said["manta"] == said["engine"] == engine_config(SETTINGS, CASE)
    assert "llama-server" in said["llama-server"]
    assert "benchmarks.llamacpp_chat.locked_server" in said["locked"]


def test_only_the_server_that_penalises_repetition_is_told_not_to() -> None:
    assert sampling_of("llama_cpp.server")["repeat_penalty"] == 1.0
    assert "repeat_penalty" not in sampling_of("engine")
