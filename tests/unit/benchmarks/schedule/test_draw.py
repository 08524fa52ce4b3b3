from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.schedule.draw import draw
from benchmarks.schedule.planned import read_requests
from configs.workload import Workload

Draw = Callable[..., Any]
FEW = {"process": "constant", "rate_rps": 2}

# One of everything that is random.
RICH: dict[str, Any] = {
    "duration_s": 20,
    "arrivals": {"process": "gamma", "rate_rps": 20, "burstiness": 0.5},
    "requests": [
        {
            "kind": "chat",
            "turns": {"distribution": "uniform", "low": 1, "high": 3},
            "prompt_tokens": {"distribution": "lognormal", "median": 40, "sigma": 1, "high": 500},
            "output_tokens": {"distribution": "normal", "mean": 40, "std": 10},
            "shared_prefix_tokens": 30,
            "num_shared_prefixes": 3,
            "abandon": {"fraction": 0.1, "after_s": 1},
        },
        {"kind": "embeddings", "num_inputs": 3, "weight": 0.3},
    ],
}


def test_the_same_workload_is_the_same_to_the_bit(drawn: Draw, tmp_path: Path) -> None:
    first, _ = drawn(RICH)
    files = [(first.folder / name).read_bytes() for name in ("schedule.jsonl", "bodies.bin")]
    second, _ = drawn(RICH)
    assert [(second.folder / name).read_bytes() for name in ("schedule.jsonl", "bodies.bin")] == files
    assert first.digest == second.digest


@pytest.mark.parametrize("change", [{"seed": 2}, {"duration_s": 21}, {"arrivals": FEW}])
def test_another_workload_has_another_digest(drawn: Draw, change: dict[str, Any]) -> None:
    assert drawn(RICH)[0].digest != drawn(RICH | change)[0].digest


def test_another_model_has_another_digest(drawn: Draw) -> None:
    assert drawn(RICH, "m")[0].digest != drawn(RICH, "n")[0].digest


def test_what_is_written_is_what_is_given(drawn: Draw) -> None:
    schedule, _ = drawn(RICH)
    assert read_requests(schedule.folder) == schedule.requests
    assert schedule.duration_s == 20


def test_texts_have_the_planned_lengths(drawn: Draw) -> None:
    schedule, bodies = drawn(RICH)
    for request, body in zip(schedule.requests, bodies, strict=True):
        if request.turn > 0:
            assert isinstance(body, str)
        elif request.entry == 0:
            assert len(body["messages"][0]["content"].split()) == request.num_prompt_tokens
        else:
            assert [len(text.split()) for text in body["input"]] == [128, 128, 128]
            assert request.num_prompt_tokens == 3 * 128


def test_a_later_turn_is_only_the_new_question(drawn: Draw) -> None:
    schedule, bodies = drawn(
        {"duration_s": 1, "arrivals": FEW, "requests": [{"kind": "chat", "turns": 2, "prompt_tokens": 9}]}
    )
    assert [(request.session, request.turn) for request in schedule.requests] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 1),
    ]
    assert [len(body.split()) for body in bodies[2:]] == [9, 9]
    assert len({bodies[0]["messages"][0]["content"], bodies[1]["messages"][0]["content"], *bodies[2:]}) == 4


def test_requests_share_their_prefix_and_nothing_else(drawn: Draw) -> None:
    document = {
        "duration_s": 10,
        "arrivals": FEW,
        "requests": [
            {
                "kind": "completions",
                "prompt_tokens": 20,
                "shared_prefix_tokens": 50,
                "num_shared_prefixes": 2,
            }
        ],
    }
    _, bodies = drawn(document)
    prompts = [body["prompt"].split() for body in bodies]
    assert {len(prompt) for prompt in prompts} == {70}
    assert len({tuple(prompt[:50]) for prompt in prompts}) == 2
    assert len({tuple(prompt[50:]) for prompt in prompts}) == len(prompts)


def test_texts_of_a_file_are_taken_in_turn(drawn: Draw, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("one\ntwo\nthree\n")
    schedule, bodies = drawn(
        {
            "duration_s": 2,
            "arrivals": FEW,
            "requests": [{"kind": "chat", "texts": str(texts), "turns": 2}],
        }
    )
    assert [body["messages"][0]["content"] for body in bodies[:4]] == ["one", "three", "two", "one"]
    assert bodies[4:] == ["two", "one", "three", "two"]
    assert {request.num_prompt_tokens for request in schedule.requests} == {None}
    assert {request.num_output_tokens for request in schedule.requests} == {32}


def test_a_shared_prefix_stands_before_a_file_s_text(drawn: Draw, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("one\n")
    request = {"kind": "chat", "texts": str(texts), "shared_prefix_tokens": 4}
    _, bodies = drawn({"duration_s": 1, "arrivals": FEW, "requests": [request]})
    prefix, _, text = bodies[0]["messages"][0]["content"].partition("\n\n")
    assert len(prefix.split()) == 4
    assert text == "one"


def test_a_file_of_texts_that_is_not_there_is_named(drawn: Draw) -> None:
    with pytest.raises(BenchmarkError, match=r"none\.txt"):
        drawn({"requests": [{"kind": "agent", "texts": "none.txt"}]})


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="file/schedule: Not a directory"):
        draw(Workload(), "m", prepare_prompts(1, []), tmp_path / "file" / "schedule")
