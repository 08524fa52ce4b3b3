"""Which key of the configuration a failed start lies at. The lines are those of vLLM 0.32."""

from __future__ import annotations

import pytest

from configs.schema import LocalFolder, VllmModel
from serve_app.engines.vllm.failures import reason

MODEL = VllmModel(
    engine="vllm",
    name="chat",
    weights=LocalFolder(path="/models/chat"),
    engine_args={"block_size": "many", "max_num_batched_tokens": 8},
)
SERVER = "(APIServer pid=12) "
ENGINE = "(EngineCore pid=34) ERROR 11-21 17:00:29 [core.py:12] "


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            [
                "usage: vllm serve [model_tag] [options]",
                "vllm: error: unrecognized arguments: --max-nun-seqs 4",
            ],
            "models.chat.engine_args.max_nun_seqs: vLLM knows no argument --max-nun-seqs",
        ),
        (
            ["vllm serve: error: argument --block-size: invalid int value: 'many'"],
            "models.chat.engine_args.block_size: vLLM says: invalid int value: 'many'",
        ),
        (
            ["vllm serve: error: argument --dtype/-d: invalid choice: 'half'"],
            "models.chat.dtype: vLLM says: invalid choice: 'half'",
        ),
        (
            [
                SERVER + "Traceback (most recent call last):",
                SERVER + "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
                SERVER
                + "  Value error, User-specified max_model_len (9) is greater than the derived max_model_len",
            ],
            "models.chat.max_model_len: vLLM says: 1 validation error for ModelConfig Value error, User-specified",
        ),
        (
            [
                ENGINE
                + "ValueError: To serve at least one request with the model's max seq len (40960), (4.38 GiB KV "
                "cache is needed, which is larger than the available KV cache memory (1.0 GiB). Try increasing "
                "`gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
                SERVER + "RuntimeError: Engine core initialization failed. See root cause above.",
            ],
            "models.chat.cpu_kv_cache_gib: vLLM says: To serve at least one request",
        ),
        (
            [
                ENGINE
                + "ValueError: Available memory on node 0 (6.1/7.8 GiB) on kv cache allocation is less than "
                "requested memory for kv (64.0 GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE",
            ],
            "models.chat.cpu_kv_cache_gib: vLLM says: Available memory on node 0",
        ),
        (
            [ENGINE + "torch.OutOfMemoryError: CUDA out of memory. Tried"],
            "models.chat.weights: vLLM says: CUDA out",
        ),
        (
            [SERVER + "RuntimeError: Failed to infer device type, please set the environment"],
            "models.chat.device: vLLM says: Failed to infer device type",
        ),
        (
            [ENGINE + "ValueError: max_num_batched_tokens (8) must be at least max_num_seqs"],
            "models.chat.engine_args.max_num_batched_tokens: vLLM ended with status 1",
        ),
        (
            [
                "/env/bin/python: Error while finding module specification for 'vllm.entrypoints.cli.main' "
                "(ModuleNotFoundError: No module named 'vllm')"
            ],
            "models.chat.python: the environment of .venv-vllm/bin/python has no vLLM",
        ),
        (
            ["ImportError: libcudart.so.13: cannot open shared object file: No such file or directory"],
            "models.chat.python: vLLM says: libcudart.so.13: cannot open shared object file",
        ),
        (["something else"], "models.chat: vLLM ended with status 1 while it started: something else"),
    ],
)
def test_the_key_and_vllms_own_words(lines: list[str], told: str) -> None:
    line = reason(MODEL, lines, 1)
    assert line.startswith(told)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Loading weights"], 128 + 9),
        (
            [
                SERVER + "RuntimeError: Engine core initialization failed. See root cause above. "
                "Failed core proc(s): {'EngineCore': -9}"
            ],
            1,
        ),
    ],
)
def test_one_that_was_killed_is_told_so(lines: list[str], status: int) -> None:
    told = reason(MODEL, lines, status)
    assert told.startswith("models.chat.weights: vLLM was killed by signal 9 while it loaded the model")
    assert "cpu_kv_cache_gib" in told


def test_a_worker_that_is_gone_without_a_word() -> None:
    lines = [
        ENGINE
        + "Exception: WorkerProc initialization failed due to an exception in a background process. See "
        "stack trace for root cause.",
        SERVER
        + "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
    ]
    assert reason(MODEL, lines, 1).startswith("models.chat.weights: vLLM lost a process while it loaded")
    lines.insert(0, ENGINE + "torch.OutOfMemoryError: CUDA out of memory. Tried")  # the worker's own word
    assert reason(MODEL, lines, 1).startswith("models.chat.weights: vLLM says: CUDA out of memory")


def test_a_vllm_for_another_cpu() -> None:
    lines = ["RuntimeError: Engine core initialization failed. Failed core proc(s): {'EngineCore': -4}"]
    assert reason(MODEL, lines, 1).startswith("models.chat.python: this vLLM is built for another CPU")


def test_a_gpu_that_others_hold() -> None:
    gpu = MODEL.model_copy(update={"device": "cuda"})
    line = (
        "ValueError: Free memory on device cuda:0 (3.1/139.8 GiB) on startup is less than desired GPU memory "
        "utilization (0.9, 125.8 GiB). Decrease GPU memory utilization."
    )
    told = reason(gpu, [ENGINE + line], 1)
    assert told.startswith("models.chat.gpu_memory_utilization: vLLM says: Free memory on device")
    assert told.endswith("Decrease GPU memory utilization; lower it, or end what else holds the memory")


def test_one_that_is_slow() -> None:
    told = reason(MODEL, [SERVER + "Loading weights", ""], None)
    assert told.startswith("vLLM did not answer within models.chat.start_timeout_s = 900 s")
    assert told.endswith("Loading weights")
