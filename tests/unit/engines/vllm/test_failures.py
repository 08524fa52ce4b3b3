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
                + "ValueError: To serve at least one request, 4 GiB KV cache is needed, which is larger than 1",
                SERVER + "RuntimeError: Engine core initialization failed. See root cause above.",
            ],
            "models.chat.cpu_kv_cache_gib: vLLM says: To serve at least one request",
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
        (["something else"], "models.chat: vLLM ended with status 1 while it started: something else"),
    ],
)
def test_the_key_and_vllms_own_words(lines: list[str], told: str) -> None:
    line = reason(MODEL, lines, 1)
    assert line.startswith(told)
    assert "\n" not in line


def test_one_that_was_killed_and_one_that_is_slow() -> None:
    assert "killed by signal 9" in reason(MODEL, ["Loading weights"], -9)
    told = reason(MODEL, [SERVER + "Loading weights", ""], None)
    assert told.startswith("vLLM did not answer within models.chat.start_timeout_s = 900 s")
    assert told.endswith("Loading weights")
