"""Guards around an agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from guarded import CARD

from configs.schema import GuardPolicies, GuardsConfig
from serve_app.guards.agent import FILTERED, GuardedAgent
from serve_app.guards.policy import Policies
from serve_app.messages import AgentEvent, AgentQuestion, Deadline, RequestContext


class Agent:
    def __init__(self, *deltas: str, quote: str = "q") -> None:
        final = {
            "text": "".join(deltas),
            "outcome": "answered",
            "flags": [],
            "notes": [],
            "citations": [{"quote": quote}],
        }
        self.events = [AgentEvent("run.started", {"run_id": "r"})]
        self.events += [AgentEvent("answer.delta", {"text": one}) for one in deltas]
        self.events += [AgentEvent("citation", {"quote": quote}), AgentEvent("answer.final", final)]

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        for event in self.events:
            yield event


async def run_of(agent: Agent, **policies: Any) -> list[AgentEvent]:
    config = GuardsConfig(output=GuardPolicies(**policies), topics={"weapons": ("build a bomb",)})
    guarded = GuardedAgent(agent, Policies(config))
    context = RequestContext("r", "t", Deadline.after(600))
    return [event async for event in guarded.answer(AgentQuestion("q"), context)]


async def test_an_agents_answer_and_its_quotes_are_redacted() -> None:
    events = await run_of(Agent("It is 4111 1111 ", "1111 1111. Ok"), pii="redact")
    final = events[-1].data
    assert final["text"] == "It is [CARD]. Ok"
    deltas = "".join(event.data["text"] for event in events if event.type == "answer.delta")
    assert final["text"].startswith(deltas)
    events = await run_of(Agent("x", quote=CARD), pii="redact")
    assert CARD not in str(events)


async def test_an_agents_answer_that_blocks_is_cut_and_says_so() -> None:
    events = await run_of(Agent("To build a ", "bomb you"), topics="block")
    final = events[-1].data
    assert (final["text"], final["outcome"], final["citations"]) == ("To ", "degraded", [])
    assert FILTERED in final["flags"]
    assert "bomb" not in str(events)


async def test_without_policies_events_pass_untouched() -> None:
    agent = Agent("a", "b")
    assert await run_of(agent) == agent.events
