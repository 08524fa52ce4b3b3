"""Runs that wait for a person: kept once, opened by the token, decided once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from serve_app.agents.approvals import Approvals
from serve_app.errors import BadRequest, Conflict, Forbidden, MantaError, NotFound, StorageFull, Unavailable
from serve_app.messages import AgentQuestion, ApprovalDecision, RequestContext
from serve_app.sessions.base import Session, SessionKey
from serve_app.sessions.memory import MemorySessions
from serve_app.sessions.record import Limits

QUESTION = AgentQuestion("Delete it, please.", user_id="bob")


def types_of(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def yes(approval: dict[str, Any], **changed: Any) -> ApprovalDecision:
    return ApprovalDecision(
        **(
            {"run_id": approval["run_id"], "user_id": "bob", "token": approval["token"], "approves": True}
            | changed
        )
    )


@pytest.fixture
def paused(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any], approvals: Approvals
) -> Any:
    """An agent whose first step wants `delete` (which a person approves) and `look`."""
    return build(
        ["I will. ", call("delete", {"key": "a"}), call("look")],
        ["Deleted: ", "yes."],
        tools=(tool("delete", "gone", needs_approval=True), tool("look")),
        approvals=approvals,
    )


async def test_a_run_pauses_before_the_tool_and_says_so(paused: Any) -> None:
    events = await paused.ask(QUESTION)
    assert types_of(events)[-3:] == ["tool.ended", "approval.required", "answer.final"]
    final = events[-1].data
    assert final["outcome"] == "paused"
    assert final["text"] == "I will."
    approval = final["approval"]
    assert approval == events[-2].data
    assert approval["calls"] == [{"call_id": "c0", "tool": "delete", "arguments": {"key": "a"}}]
    assert approval["agent"] == "helper"
    delete, look = paused.tools
    assert (delete.calls, look.calls) == ([], [{}])  # the other call did not have to wait
    assert paused.num_running() == 0


async def test_an_approved_run_goes_on_where_it_was(paused: Any) -> None:
    approval = (await paused.ask(QUESTION))[-1].data["approval"]
    events = await paused.decide(yes(approval))
    delete, look = paused.tools
    assert (delete.calls, len(look.calls)) == ([{"key": "a"}], 1)  # nothing was done twice
    final = events[-1].data
    assert (final["text"], final["outcome"], final["run_id"]) == (
        "Deleted: yes.",
        "answered",
        approval["run_id"],
    )
    assert final["usage"]["num_model_calls"] == 2  # of the whole run
    assert [run.own_usage["num_model_calls"] for run in paused.ended] == [
        1,
        1,
    ]  # what metrics count of each part
    contents = [
        message["content"] for message in paused.model.bodies[1]["messages"] if message["role"] == "tool"
    ]
    assert len(contents) == 2
    assert any("gone" in content for content in contents)


async def test_a_refused_call_is_not_made_and_the_model_is_told_why(paused: Any) -> None:
    approval = (await paused.ask(QUESTION))[-1].data["approval"]
    events = await paused.decide(yes(approval, approves=False, reason="Not on Fridays."))
    assert paused.tools[0].calls == []
    told = json.dumps(paused.model.bodies[1]["messages"])
    assert "A person refused this call: Not on Fridays." in told
    assert [one.data["status"] for one in events if one.type == "tool.ended"] == ["refused"]


async def test_each_call_can_be_decided_on_its_own(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any], approvals: Approvals
) -> None:
    delete = tool("delete", "gone", needs_approval=True)
    house = build(
        [call("delete", {"key": "a"}), call("delete", {"key": "b"})],
        ["Done."],
        tools=(delete,),
        approvals=approvals,
    )
    approval = (await house.ask(QUESTION))[-1].data["approval"]
    with pytest.raises(BadRequest, match="decides about each of: c0, c1"):
        await house.decide(yes(approval, approves={"c0": True}))
    await house.decide(yes(approval, approves={"c0": False, "c1": True}))
    assert delete.calls == [{"key": "b"}]


async def test_another_replica_can_go_on(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any], approvals: Approvals
) -> None:
    first = build(
        ["I will. ", call("delete", {"key": "a"})],
        tools=(tool("delete", needs_approval=True),),
        approvals=approvals,
    )
    approval = (await first.ask(QUESTION))[-1].data["approval"]
    second = build(["Done."], tools=(tool("delete", "gone", needs_approval=True),), approvals=approvals)
    events = await second.decide(yes(approval))
    assert second.tools[0].calls == [{"key": "a"}]
    assert events[-1].data["text"] == "Done."
    roles = [message["role"] for message in second.model.bodies[0]["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]


async def test_a_decision_cannot_be_replayed(paused: Any) -> None:
    approval = (await paused.ask(QUESTION))[-1].data["approval"]
    await paused.decide(yes(approval))
    with pytest.raises(NotFound):
        await paused.decide(yes(approval))
    assert len(paused.tools[0].calls) == 1


async def test_of_two_decisions_at_once_one_gets_through(paused: Any) -> None:
    approval = (await paused.ask(QUESTION))[-1].data["approval"]
    both = await asyncio.gather(
        paused.decide(yes(approval)), paused.decide(yes(approval)), return_exceptions=True
    )
    assert sum(isinstance(one, NotFound | Conflict) for one in both) == 1
    assert len(paused.tools[0].calls) == 1


@pytest.mark.parametrize(
    ("changed", "tenant", "error"),
    [
        ({"token": "guessed"}, "acme", Forbidden),
        ({"user_id": "eve"}, "acme", NotFound),
        ({"user_id": ""}, "acme", NotFound),
        ({}, "evil-corp", NotFound),
        ({"run_id": "run_0"}, "acme", NotFound),
    ],
)
async def test_only_who_asked_can_decide(
    paused: Any, changed: dict[str, str], tenant: str, error: type[MantaError]
) -> None:
    approval = (await paused.ask(QUESTION))[-1].data["approval"]
    with pytest.raises(error):
        await paused.decide(yes(approval, **changed), tenant=tenant)
    assert paused.tools[0].calls == []
    assert (await paused.decide(yes(approval)))[-1].data["outcome"] == "answered"


async def test_another_agents_run_is_not_found(
    paused: Any, build: Callable[..., Any], approvals: Approvals
) -> None:
    approval = (await paused.ask(QUESTION))[-1].data["approval"]
    with pytest.raises(NotFound):
        await build(approvals=approvals, name="other").decide(yes(approval))


async def test_a_run_waits_only_so_long(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any]
) -> None:
    now = [1000.0]
    approvals = Approvals(MemorySessions(), ttl_s=60.0, now=lambda: now[0])
    house = build([call("delete")], tools=(tool("delete", needs_approval=True),), approvals=approvals)
    approval = (await house.ask(QUESTION))[-1].data["approval"]
    assert approval["expires_in_s"] == 60.0
    now[0] += 60.0
    with pytest.raises(NotFound, match="waited too long"):
        await house.decide(yes(approval))


async def test_what_changes_things_needs_approval_once_results_were_read(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any], approvals: Approvals
) -> None:
    send = tool("send", "sent", when_untrusted="approve")
    house = build([call("look")], [call("send")], ["Sent."], tools=(tool(), send), approvals=approvals)
    final = (await house.ask(QUESTION))[-1].data
    assert final["outcome"] == "paused"
    assert [one["tool"] for one in final["approval"]["calls"]] == ["send"]
    assert (await house.decide(yes(final["approval"])))[-1].data["text"] == "Sent."


async def test_a_run_can_pause_again(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any], approvals: Approvals
) -> None:
    delete = tool("delete", "gone", needs_approval=True)
    house = build(
        [call("delete", {"key": "a"})],
        [call("delete", {"key": "b"})],
        ["Both."],
        tools=(delete,),
        approvals=approvals,
    )
    first = (await house.ask(QUESTION))[-1].data["approval"]
    second = (await house.decide(yes(first)))[-1].data["approval"]
    assert second["run_id"] == first["run_id"]
    assert second["token"] != first["token"]
    with pytest.raises(Forbidden):
        await house.decide(yes(first))
    assert (await house.decide(yes(second)))[-1].data["text"] == "Both."
    assert delete.calls == [{"key": "a"}, {"key": "b"}]


async def test_whoever_cannot_wait_is_refused(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any], approvals: Approvals
) -> None:
    house = build(
        [call("delete")], ["No."], tools=(tool("delete", needs_approval=True),), approvals=approvals
    )
    final = (await house.ask(replace(QUESTION, may_pause=False)))[-1].data
    assert final["outcome"] == "answered"
    assert "nobody can be asked here" in json.dumps(house.model.bodies[1]["messages"])


async def test_without_a_store_nobody_can_be_asked(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any]
) -> None:
    house = build([call("delete")], ["No."], tools=(tool("delete", needs_approval=True),))
    assert (await house.ask(QUESTION))[-1].data["text"] == "No."
    with pytest.raises(NotFound):
        await house.decide(ApprovalDecision("run_1", "bob", "x", approves=True))


async def test_limits_hold_over_a_pause(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any], approvals: Approvals
) -> None:
    delete = tool("delete", "gone", needs_approval=True)
    house = build(
        [call("delete")], ["Enough."], tools=(delete,), approvals=approvals, limits={"max_steps": 2}
    )
    approval = (await house.ask(QUESTION))[-1].data["approval"]
    final = (await house.decide(yes(approval)))[-1].data
    assert house.model.bodies[1]["tool_choice"] == "none"
    assert final["flags"] == ["step_limit"]


async def test_arguments_that_could_not_be_read_are_no_better_after_a_pause(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any], approvals: Approvals
) -> None:
    delete = tool("delete", "gone", needs_approval=True)
    house = build([call("delete", "{oops")], ["No."], tools=(delete,), approvals=approvals)
    approval = (await house.ask(QUESTION))[-1].data["approval"]
    events = await house.decide(yes(approval))
    assert delete.calls == []
    assert "are no JSON" in next(one for one in events if one.type == "tool.ended").data["error"]


async def test_what_is_kept_holds_no_token_and_stands_among_nobodys_conversations(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any], context: RequestContext
) -> None:
    store = MemorySessions()
    house = build(
        [call("delete")], tools=(tool("delete", needs_approval=True),), approvals=Approvals(store, 60.0)
    )
    approval = (await house.ask(QUESTION))[-1].data["approval"]
    assert await store.sessions("acme", "bob", context) == ()
    kept = next(iter(store._records._sessions.values()))[0]  # type: ignore[attr-defined]
    assert approval["token"] not in json.dumps(kept.turns)


async def test_a_run_that_cannot_be_kept_is_an_error(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any]
) -> None:
    small = MemorySessions(Limits(10, 100, drops_unsummarised=True))
    house = build(
        [call("delete")], tools=(tool("delete", needs_approval=True),), approvals=Approvals(small, 60.0)
    )
    with pytest.raises(StorageFull):
        await house.ask(QUESTION)


async def test_a_decision_that_the_store_cannot_take_is_not_acted_on(
    build: Callable[..., Any], tool: Callable[..., Any], call: Callable[..., Any]
) -> None:
    class Broken(MemorySessions):
        is_broken = False

        async def append(
            self, key: SessionKey, turns: Any, basis: Session, context: RequestContext
        ) -> Session:
            if self.is_broken:
                raise Unavailable("gone")
            return await super().append(key, turns, basis, context)

    store = Broken()
    house = build(
        [call("delete")], tools=(tool("delete", needs_approval=True),), approvals=Approvals(store, 60.0)
    )
    approval = (await house.ask(QUESTION))[-1].data["approval"]
    store.is_broken = True
    with pytest.raises(Unavailable):
        await house.decide(yes(approval))
    assert house.tools[0].calls == []
