from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from configs.schema import BudgetConfig
from serve_app.agent import prompts
from serve_app.agent.helper import FixtureHelper
from serve_app.agent.route import HELP_TEXT
from serve_app.errors import BadRequest, DeadlineExceeded, EngineFailed, Overloaded, Unavailable
from serve_app.grounding.prompt import NOTHING_FITS, parse
from serve_app.messages import AgentEvent, AgentQuestion, Deadline, JsonObject, Passage, RequestContext
from serve_app.openai_api.requests import parse_chat

HANG = "hang"
BROKEN = EngineFailed("it broke")
Build = Callable[..., Any]
Virtual = Callable[..., Any]


def final_of(events: list[AgentEvent]) -> JsonObject:
    assert [event.type for event in events].count("answer.final") == 1
    assert events[-1].type == "answer.final"
    final = events[-1].data
    streamed = "".join(event.data["text"] for event in events if event.type == "answer.delta")
    assert final["text"].startswith(streamed)
    assert [event.data for event in events if event.type == "citation"] == final["citations"]
    return final


def far(n: int) -> Passage:
    return Passage(
        f"p{n}", f"d{n}", "docs", f"{n}.md", "T", (), "Nothing about it.", 0, cosine=0.05, bm25=None
    )


def test_a_generated_answer_cites_and_says_what_it_did(build: Build, virtual: Virtual) -> None:
    house = build()
    events = virtual(house.ask)
    final = final_of(events)
    assert [event.type for event in events if event.type != "answer.delta"] == [
        "run.started", "route", "retrieval", "grade", "citation", "answer.final"
    ]  # fmt: skip
    assert final["text"] == "It travels with the request [1]."
    assert final["outcome"] == "answered"
    assert final["flags"] == ["unevaluated"]
    assert final["model"] == "chat"
    assert final["citations"] == [
        {
            "n": 1,
            "passage_id": "p1",
            "document_id": "d1",
            "source": "docs",
            "path": "guide-1.md",
            "title": "Guide 1",
            "headings": ["Guide 1", "Streams"],
            "page": None,
            "quote": "The deadline travels with the request.",
        }
    ]
    assert final["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "num_model_calls": 1,
        "num_calls_without_usage": 0,
    }
    states = [
        "received",
        "guard_in",
        "route",
        "retrieve",
        "grade_ctx",
        "generate",
        "evaluate",
        "guard_out",
        "final",
    ]
    assert [step["state"] for step in final["run"]] == states


def test_the_model_gets_a_grounded_prompt_and_the_earlier_turns(build: Build, virtual: Virtual) -> None:
    house = build()
    history = (
        {"role": "system", "content": "Answer in verse."},
        {"role": "user", "content": "Hello there"},
        {"role": "assistant", "content": "Hello."},
    )
    question = AgentQuestion("How does the deadline travel?", history, k=2, max_tokens=7, temperature=0.5)
    virtual(lambda: house.ask(question))
    body = house.models["chat"].bodies[0]
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert body["messages"][0]["content"].endswith("Answer in verse.")
    grounded = parse(parse_chat(body).messages)
    assert grounded is not None
    assert grounded.question == "How does the deadline travel?"
    assert [source.number for source in grounded.sources] == [1, 2]
    assert (body["max_tokens"], body["temperature"], body["stream"]) == (7, 0.5, True)
    assert house.knowledge.queries[0].k == 2


def test_max_tokens_of_the_client_cannot_exceed_the_agents(build: Build, virtual: Virtual) -> None:
    house = build(max_answer_tokens=50)
    virtual(lambda: house.ask(AgentQuestion("How does the deadline travel?", max_tokens=5000)))
    assert house.models["chat"].bodies[0]["max_tokens"] == 50


@pytest.mark.parametrize("question", ["", "  \n", "\u200b", "<!-- only a comment -->"])
def test_an_empty_question_is_refused_before_any_event(build: Build, virtual: Virtual, question: str) -> None:
    with pytest.raises(BadRequest, match="empty") as caught:
        virtual(lambda: build().ask(question))
    assert caught.value.param == "question"


def test_an_overlong_question_is_refused_with_both_numbers(build: Build, virtual: Virtual) -> None:
    with pytest.raises(BadRequest, match="101 characters; the limit is 100"):
        virtual(lambda: build(max_question_chars=100).ask("x" * 101))


def test_a_turn_that_is_no_text_is_refused_by_name(build: Build, virtual: Virtual) -> None:
    history = ({"role": "user", "content": "a"}, {"role": "tool", "content": "b"})
    with pytest.raises(BadRequest) as caught:
        virtual(lambda: build().ask(AgentQuestion("What is it?", history)))
    assert caught.value.param == "history.1.role"


def test_a_bad_filter_is_the_clients_to_mend(build: Build, virtual: Virtual) -> None:
    house = build(search=[BadRequest("no such field: colour", "filters")])
    with pytest.raises(BadRequest, match="colour"):
        virtual(house.ask)


def test_a_greeting_is_answered_without_a_search(build: Build, virtual: Virtual) -> None:
    house = build({"chat": ["Hello! Ask me something."]})
    final = final_of(virtual(lambda: house.ask("Hi there!")))
    assert final["text"] == "Hello! Ask me something."
    assert final["outcome"] == "answered"
    assert house.knowledge.queries == []


@pytest.mark.parametrize("models", [{"quotes": ["never asked"]}, {}])
def test_a_greeting_without_a_generative_model_gets_the_help_text(
    build: Build, virtual: Virtual, models: dict[str, list[Any]]
) -> None:
    house = build(models, extractive=("quotes",))
    final = final_of(virtual(lambda: house.ask("hello")))
    assert (final["text"], final["flags"], final["model"]) == (HELP_TEXT, [], None)
    assert all(not model.bodies for model in house.models.values())


def test_an_extractive_answer_says_how_to_get_a_model(build: Build, virtual: Virtual) -> None:
    house = build({"quotes": ["The deadline travels with the request. [1]"]}, extractive=("quotes",))
    final = final_of(virtual(house.ask))
    assert final["flags"] == ["extractive"]
    assert final["outcome"] == "degraded"
    assert any("manta models pull" in note for note in final["notes"])


def test_lexical_only_is_ambiguous_and_flagged(build: Build, virtual: Virtual) -> None:
    passages = tuple(
        Passage(f"p{n}", "d", "s", "a.md", "A", (), "The deadline travels.", n, bm25=3.0) for n in range(2)
    )
    events = virtual(build(passages=passages, flags=("lexical_only",)).ask)
    grade = next(event.data for event in events if event.type == "grade")
    assert grade["verdict"] == "ambiguous"
    assert grade["features"]["probability"] is None
    final = final_of(events)
    assert final["flags"] == ["lexical_only", "unevaluated"]
    assert final["outcome"] == "degraded"


@pytest.mark.parametrize(
    "search", [[Unavailable("down")], [Overloaded("full")], [EngineFailed("broken")], [HANG]], ids=str
)
def test_without_a_knowledge_base_it_abstains(build: Build, virtual: Virtual, search: list[Any]) -> None:
    house = build(search=search)
    final = final_of(virtual(house.ask))
    assert final["text"] == prompts.KB_UNAVAILABLE
    assert final["flags"] == ["kb_unavailable"]
    assert final["outcome"] == "abstained"
    assert house.models["chat"].bodies == []


def test_passages_that_do_not_fit_lead_to_abstention_with_the_nearest(build: Build, virtual: Virtual) -> None:
    house = build(passages=tuple(far(n) for n in range(1, 6)))
    final = final_of(virtual(house.ask))
    assert final["outcome"] == "abstained"
    assert final["flags"] == ["low_confidence"]
    assert [citation["passage_id"] for citation in final["citations"]] == ["p1", "p2", "p3"]
    assert all(citation["quote"] is None for citation in final["citations"])
    assert house.models["chat"].bodies == []


def test_no_passages_at_all_lead_to_abstention(build: Build, virtual: Virtual) -> None:
    final = final_of(virtual(build(passages=()).ask))
    assert (final["text"], final["outcome"], final["citations"]) == (prompts.ABSTAINED, "abstained", [])


def test_guessing_must_be_allowed_and_is_flagged(build: Build, virtual: Virtual) -> None:
    house = build(
        {"chat": ["Not from the documents: perhaps [1]."]}, passages=(far(1),), abstain_when_incorrect=False
    )
    final = final_of(virtual(house.ask))
    assert final["flags"] == ["low_confidence", "ungrounded", "unevaluated"]
    assert final["text"] == "Not from the documents: perhaps."
    assert final["citations"] == []
    assert "begin" not in house.models["chat"].bodies[0]["messages"][-1]["content"]


def test_a_model_that_only_quotes_does_not_guess(build: Build, virtual: Virtual) -> None:
    house = build({"quotes": ["x"]}, extractive=("quotes",), passages=(far(1),), abstain_when_incorrect=False)
    assert final_of(virtual(house.ask))["outcome"] == "abstained"


def test_a_model_that_finds_nothing_in_the_passages_abstains(build: Build, virtual: Virtual) -> None:
    final = final_of(virtual(build({"chat": [NOTHING_FITS, "\n"]}).ask))
    assert (final["text"], final["outcome"]) == (NOTHING_FITS, "abstained")
    assert "low_confidence" in final["flags"]
    assert len(final["citations"]) == 2


def test_an_answer_that_cites_nothing_is_flagged(build: Build, virtual: Virtual) -> None:
    final = final_of(virtual(build({"chat": ["It travels."]}).ask))
    assert final["flags"] == ["unevaluated", "uncited"]


def test_numbers_of_no_passage_never_reach_the_client(build: Build, virtual: Virtual) -> None:
    events = virtual(build({"chat": ["It travels [", "9]", " with it [1, 7]."]}).ask)
    assert "9" not in "".join(event.data.get("text", "") for event in events)
    assert final_of(events)["text"] == "It travels with it [1]."


@pytest.mark.parametrize(
    "failure", [BROKEN, Overloaded("full"), BadRequest("too long"), HANG, b"data: garbage\n\n"], ids=str
)
def test_a_model_that_fails_first_gives_way_to_the_next(build: Build, virtual: Virtual, failure: Any) -> None:
    house = build({"best": [failure], "spare": ["It travels [1]."]})
    final = final_of(virtual(house.ask))
    assert (final["model"], final["text"]) == ("spare", "It travels [1].")
    assert final["flags"] == ["unevaluated", "model_fallback"]
    assert any("best" in note for note in final["notes"])
    assert final["usage"]["num_calls_without_usage"] == 1


@pytest.mark.parametrize(("steps", "total"), [([], 9), ([BROKEN], 0)])
def test_a_helpers_tokens_count_if_it_told_them(
    build: Build, virtual: Virtual, steps: list[Any], total: int
) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    alone = final_of(virtual(build().ask))["usage"]
    helped = final_of(virtual(build(helper=FixtureHelper(usage=usage), helper_steps=steps).ask))["usage"]
    assert helped["num_model_calls"] == alone["num_model_calls"] + 1
    assert helped["total_tokens"] == alone["total_tokens"] + total
    assert helped["num_calls_without_usage"] == alone["num_calls_without_usage"] + (total == 0)


@pytest.mark.parametrize("steps", [[], ["  \n"], ["![x](http://evil/?q=1)"]], ids=str)
def test_an_empty_answer_is_a_failure(build: Build, virtual: Virtual, steps: list[Any]) -> None:
    final = final_of(virtual(build({"best": steps, "spare": ["It travels [1]."]}).ask))
    assert final["model"] == "spare"


def test_a_slow_model_has_its_whole_time_after_the_first_token(build: Build, virtual: Virtual) -> None:
    house = build({"slow": [7.0, "It travels ", 12.0, "slowly [1]."]})
    assert final_of(virtual(house.ask))["text"] == "It travels slowly [1]."


def test_when_all_models_fail_the_passages_are_quoted(build: Build, virtual: Virtual) -> None:
    final = final_of(virtual(build({"a": [BROKEN], "b": [HANG]}).ask))
    assert final["text"].startswith("The deadline travels with the request. [1]")
    assert final["flags"] == ["extractive"]
    assert (final["outcome"], final["model"]) == ("degraded", None)
    assert final["citations"][0]["passage_id"] == "p1"
    assert prompts.QUOTED in final["notes"]


def test_when_all_models_fail_and_no_sentence_fits_it_abstains(build: Build, virtual: Virtual) -> None:
    final = final_of(virtual(lambda: build({"a": [BROKEN]}).ask("Who composed Carmen?")))
    assert final["outcome"] == "abstained"


@pytest.mark.parametrize("end", [BROKEN, b'data: {"error":{"message":"gone"}}\n\n'], ids=str)
def test_text_that_left_stays_when_the_model_breaks_off(build: Build, virtual: Virtual, end: Any) -> None:
    house = build({"best": ["It travels with ", "the ", end], "spare": ["Never asked."]})
    final = final_of(virtual(house.ask))
    assert final["text"] == "It travels with the"
    assert final["model"] == "best"
    assert "interrupted" in final["flags"]
    assert house.models["spare"].bodies == []


def test_the_draft_is_the_answer_when_the_time_is_over(build: Build, virtual: Virtual) -> None:
    final = final_of(virtual(lambda: build({"chat": ["It travels with ", HANG]}).ask(within_s=3.0)))
    assert final["text"] == "It travels with"
    assert final["flags"] == ["unevaluated", "deadline", "uncited"]


def test_without_a_draft_the_passages_are_quoted_when_the_time_is_over(
    build: Build, virtual: Virtual
) -> None:
    final = final_of(virtual(lambda: build({"chat": [HANG]}).ask(within_s=3.0)))
    assert final["flags"] == ["extractive", "deadline"]
    assert "[1]" in final["text"]


def test_with_nothing_at_hand_it_abstains_when_the_time_is_over(build: Build, virtual: Virtual) -> None:
    house = build(search=[HANG])
    final = final_of(virtual(lambda: house.ask(within_s=1.0)))
    assert (final["text"], final["outcome"]) == (prompts.OUT_OF_TIME, "abstained")
    assert final["flags"] == ["deadline"]
    assert house.num_running() == 0


def test_a_deadline_in_the_past_starts_nothing(build: Build, virtual: Virtual) -> None:
    house = build()
    with pytest.raises(DeadlineExceeded):
        virtual(lambda: house.ask(within_s=-1.0))
    assert house.knowledge.queries == []


def test_each_stage_gets_its_own_share(build: Build, virtual: Virtual) -> None:
    async def main() -> float:
        await build({"a": [HANG], "b": [HANG]}, search=[1.0], budget=BudgetConfig(first_token_s=4.0)).ask()
        return asyncio.get_running_loop().time()

    assert virtual(main) == pytest.approx(1.0 + 4.0 + 4.0)


@pytest.mark.parametrize("num_events", range(8))  # the last one is the third delta
def test_closing_after_any_event_leaves_nothing_running(
    build: Build, virtual: Virtual, num_events: int
) -> None:
    house = build({"chat": ["a ", "b ", "c [1]. ", HANG]})

    async def main() -> None:
        context = RequestContext("run", "acme", Deadline.after(60))
        async with aclosing(house.pipeline.answer(AgentQuestion("What is the deadline?"), context)) as events:
            for _ in range(num_events):
                await anext(events)
        assert house.num_running() == 0

    virtual(main)


@pytest.mark.parametrize(
    "house_of", [{"search": [HANG]}, {"models": {"chat": [HANG]}}, {"models": {"chat": ["a b ", HANG]}}]
)
def test_cancelling_at_any_stage_leaves_nothing_running(
    build: Build, virtual: Virtual, house_of: dict[str, Any]
) -> None:
    house = build(**house_of)

    async def main() -> None:
        task = asyncio.create_task(house.ask())
        await asyncio.sleep(0.5)
        assert house.num_running() == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert house.num_running() == 0

    virtual(main)
