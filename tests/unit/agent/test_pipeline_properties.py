"""Whatever its dependencies do, a run ends once, in time, with flags that say what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.agent.run import Flag
from serve_app.errors import BadRequest, DeadlineExceeded, EngineFailed, MantaError, Overloaded, Unavailable
from serve_app.messages import AgentEvent, Passage

HANG = "hang"
DELAYS = st.sampled_from([0.0, 0.3, 1.9, 2.5, 9.0])
FAULTS = st.sampled_from(
    [
        HANG,
        EngineFailed("broken"),
        Overloaded("full"),
        Unavailable("gone"),
        BadRequest("refused"),
        DeadlineExceeded("late"),
    ]
)
TEXTS = st.sampled_from(
    [
        "The deadline ",
        "travels ",
        "[1]",
        " [9]",
        "![i](http://x/y)",
        "`code [3]`",
        "\n\n",
        "with it. ",
        "[2], ",
    ]
)
MODEL_STEPS = st.lists(
    st.one_of(TEXTS, TEXTS, DELAYS, FAULTS, st.just(b": ping\n\n"), st.just(b"data: nonsense\n\n")),
    max_size=6,
)
SEARCH_STEPS = st.lists(
    st.one_of(DELAYS, FAULTS.filter(lambda fault: not isinstance(fault, BadRequest))), max_size=2
)


def passages(cosine: float | None) -> tuple[Passage, ...]:
    text = "The deadline travels with the request. It ends what nobody waits for."
    return tuple(
        Passage(f"p{n}", "d", "s", "a.md", "A", (), text, n, cosine=cosine, bm25=2.0) for n in range(2)
    )


RESULTS = st.sampled_from(
    [
        (passages(0.8), ()),
        (passages(0.35), ()),
        (passages(0.05), ()),
        (passages(None), ("lexical_only",)),
        ((), ()),
    ]
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    plans=st.lists(st.tuples(st.booleans(), MODEL_STEPS), min_size=1, max_size=3),
    search=SEARCH_STEPS,
    result=RESULTS,
    abstain=st.booleans(),
    within_s=st.sampled_from([0.5, 3.0, 12.0, 60.0]),
    cancel_at_s=st.sampled_from([None, None, 0.1, 1.0, 4.0]),
)
def test_every_run_ends_once_in_time_and_leaves_nothing(
    *,
    build: Callable[..., Any],
    virtual: Callable[..., Any],
    plans: list[tuple[bool, list[Any]]],
    search: list[Any],
    result: tuple[tuple[Passage, ...], tuple[str, ...]],
    abstain: bool,
    within_s: float,
    cancel_at_s: float | None,
) -> None:
    steps = {f"m{at}": plan for at, (_, plan) in enumerate(plans)}
    extractive = tuple(f"m{at}" for at, (is_generative, _) in enumerate(plans) if not is_generative)
    found, search_flags = result
    house = build(
        steps,
        extractive=extractive,
        passages=found,
        flags=search_flags,
        search=search,
        abstain_when_incorrect=abstain,
    )

    async def main() -> tuple[list[AgentEvent] | MantaError | None, float]:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(house.ask("How does the deadline travel?", within_s=within_s))
        if cancel_at_s is not None:
            loop.call_later(cancel_at_s, task.cancel)
        try:
            ended: list[AgentEvent] | MantaError | None = await task
        except MantaError as exc:
            ended = exc
        except asyncio.CancelledError:
            ended = None
        return ended, loop.time()

    ended, took_s = virtual(main)
    assert house.num_running() == 0
    assert took_s <= min(within_s, 30.0) + 1e-6
    if ended is None:
        assert cancel_at_s is not None
    elif isinstance(ended, MantaError):
        assert isinstance(ended, DeadlineExceeded)
        assert took_s >= 0.9 * min(within_s, 30.0)
    else:
        check_final(ended, extractive, search_flags)


def check_final(events: list[AgentEvent], extractive: tuple[str, ...], search_flags: tuple[str, ...]) -> None:
    assert [event.type for event in events].count("answer.final") == 1
    assert events[-1].type == "answer.final"
    final = events[-1].data
    text, flags, model = final["text"], set(final["flags"]), final["model"]
    assert text
    assert text.startswith("".join(event.data["text"] for event in events if event.type == "answer.delta"))
    assert flags <= set(Flag)
    is_generated = model is not None and model not in extractive
    assert (Flag.UNEVALUATED in flags) == is_generated
    assert (Flag.MODEL_FALLBACK in flags) == (is_generated and model != "m0")
    if model is None:
        assert final["outcome"] == "abstained" or Flag.EXTRACTIVE in flags
    elif not is_generated:
        assert Flag.EXTRACTIVE in flags
    if Flag.KB_UNAVAILABLE in flags:
        assert final["outcome"] == "abstained"
    else:
        assert set(search_flags) <= flags
    if final["outcome"] == "answered":
        assert flags == {Flag.UNEVALUATED}
        assert final["citations"]
    assert "http://x" not in text
    assert "[9]" not in text
