from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.schedule.plan import plan
from configs.workload import Workload

Draw = Callable[..., Any]
Trace = Callable[..., str]


def replaying(path: str, **arrivals: Any) -> dict[str, Any]:
    return {
        "arrivals": {"process": "trace", "path": path, **arrivals},
        "requests": [{"kind": "completions"}],
    }


def line(at_s: float, prompt: int, output: int = 3, **more: Any) -> dict[str, Any]:
    return {"at_s": at_s, "prompt_tokens": prompt, "output_tokens": output, **more}


def prompts_of(bodies: list[Any]) -> list[list[str]]:
    return [body["prompt"].split() for body in bodies]


def common(first: list[str], second: list[str]) -> int:
    """How many words both begin with."""
    same = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        same += 1
    return same


def test_a_trace_has_its_arrivals_and_lengths(drawn: Draw, trace: Trace) -> None:
    schedule, bodies = drawn(replaying(trace(line(10, 5, 7), line(12.5, 9, 1))))
    assert [request.at_s for request in schedule.requests] == [0, 2.5]
    assert [request.num_prompt_tokens for request in schedule.requests] == [5, 9]
    assert [len(prompt) for prompt in prompts_of(bodies)] == [5, 9]
    assert [body["max_tokens"] for body in bodies] == [7, 1]
    assert schedule.duration_s == 5.0


def test_the_same_block_is_the_same_text(drawn: Draw, trace: Trace) -> None:
    blocks = [[1, 2, 3], [1, 2, 4], [1, 9], [8, 2, 3]]
    path = trace(
        *(line(at, 20 * len(ids) - 5, hash_ids=ids, block_tokens=20) for at, ids in enumerate(blocks))
    )
    prompts = prompts_of(drawn(replaying(path))[1])
    assert [len(prompt) for prompt in prompts] == [55, 55, 35, 55]
    assert common(prompts[0], prompts[1]) == 40
    assert common(prompts[0], prompts[2]) == 20
    assert common(prompts[0], prompts[3]) == 0
    assert prompts[0][20:] == prompts[3][20:]  # wherever it stands


def test_cut_prompts_still_share_what_is_left(drawn: Draw, trace: Trace) -> None:
    blocks = [[1, 2, 3], [1, 2, 4], [1, 5, 6]]
    path = trace(*(line(at, 60, hash_ids=ids, block_tokens=20) for at, ids in enumerate(blocks)))
    prompts = prompts_of(drawn(replaying(path, max_prompt_tokens=30, max_output_tokens=2))[1])
    assert [len(prompt) for prompt in prompts] == [30, 30, 30]
    assert prompts[0] == prompts[1]
    assert common(prompts[0], prompts[2]) == 20


def test_a_session_s_prompts_grow(drawn: Draw, trace: Trace) -> None:
    path = trace(
        line(0, 20, session="a"),
        line(1, 20, session="b"),
        line(2, 50, session="a"),
        line(3, 80, session="a"),
        line(4, 30, session="a"),  # it was cut by whoever kept it: one whole turn still fits
        line(5, 40),
    )
    first, other, second, third, cut, alone = prompts_of(drawn(replaying(path))[1])
    assert common(first, second) == 20
    assert common(second, third) == 50
    assert common(third, cut) == 20
    assert common(first, other) == common(first, alone) == 0
    assert [len(prompt) for prompt in (first, other, second, third, cut, alone)] == [20, 20, 50, 80, 30, 40]


def test_requests_that_share_nothing_are_all_different(drawn: Draw, trace: Trace) -> None:
    prompts = prompts_of(drawn(replaying(trace(*(line(at, 12) for at in range(20)))))[1])
    assert len({tuple(prompt) for prompt in prompts}) == 20


def test_users_of_a_trace_may_leave_early(trace: Trace) -> None:
    document = replaying(trace(*(line(at, 1) for at in range(1000))))
    document["requests"][0]["abandon"] = {"fraction": 0.3, "after_s": 2}
    drafts = plan(Workload.model_validate(document)).drafts
    num_leaving = sum(draft.request.abandon_after_s == 2 for draft in drafts)
    assert abs(num_leaving - 300) < 4 * (1000 * 0.3 * 0.7) ** 0.5


def test_mooncake_s_blocks_are_shared_as_recorded(drawn: Draw) -> None:
    path = Path(__file__).resolve().parents[5] / "shared" / "traces" / "mooncake_conversation_trace.jsonl"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    schedule, bodies = drawn(replaying(str(path), max_requests=40, max_prompt_tokens=3000))
    prompts = prompts_of(bodies)
    assert [len(prompt) for prompt in prompts] == [request.num_prompt_tokens for request in schedule.requests]
    # All but few conversations of this trace begin with the same block.
    assert sum(common(prompts[0], prompt) == 512 for prompt in prompts[1:]) > 20
