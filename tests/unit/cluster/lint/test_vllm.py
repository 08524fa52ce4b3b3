"""What a container's command says of vLLM."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.lint.vllm import misspelt, num_devices, served_names, words_of


def container(*args: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "image": "vllm/vllm-openai:v1", "args": list(args), **more}


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--model", "org/a"], {"org/a"}),
        (["--model=org/a", "--served-model-name", "x", "y", "--port", "1"], {"x", "y"}),
        (["--served-model-name=x"], {"x"}),
        (["--model", "/models/a"], None),
        (["--model", "$MODEL"], None),
        ([], None),
    ],
)
def test_names(args: list[str], names: set[str] | None) -> None:
    assert served_names(container(*args)) == names


def test_names_in_a_shells_words() -> None:
    shell = container("ulimit -n 65536 &&\n vllm serve org/a \\\n  --port 8000", command=["sh", "-c"])
    assert served_names(shell) == {"org/a"}
    assert words_of({"image": "redis:7", "args": ["serve"]}) == []


@pytest.mark.parametrize(
    ("args", "number"),
    [
        ("-tp 4", 4),
        ("--tensor-parallel-size=4 --pipeline-parallel-size 2", 8),
        ("--tensor-parallel-size 2 --data-parallel-size 4 --data-parallel-size-local 2", 4),
        ("--tensor-parallel-size 2 --distributed-executor-backend ray", None),
        ("--tensor-parallel-size 8 --nnodes 2", None),
        ("--tensor-parallel-size $TP", None),
        ("", None),
    ],
)
def test_devices(args: str, number: int | None) -> None:
    assert num_devices(words_of(container(args))) == number


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("max-model-length", "max_model_len"),
        ("tensor_paralel_size", "tensor_parallel_size"),
        ("max-model-len", None),
        ("data-parallel-size-local", None),
        ("an-option-that-came-later", None),
    ],
)
def test_options(option: str, meant: str | None) -> None:
    assert misspelt(option) == meant
