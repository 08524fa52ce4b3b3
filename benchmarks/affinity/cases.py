"""What is asked: conversations, questions about a few documents, and prompts that have nothing in common. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from configs.workload import ChatRequest, ClosedLoop, Workload

TIMEOUT_S = 120.0
_MAX_JOB_S = 1800.0


@dataclass(frozen=True, slots=True)
class Case:
    """A fixed piece of work, so that both sides do the same.

    Args:
        num_sessions: of all callers together.
        num_turns: of each session; every turn has the turns before it in its prompt.
        beginning_tokens: with which a session's prompts begin; 0: nothing is added.
        num_beginnings: different ones; each is that of an equal share of the sessions.
        own_tokens: of each turn, besides.
        think_s: from the end of an answer to the session's next question.
    """

    name: str
    num_callers: int
    num_sessions: int
    num_turns: int
    beginning_tokens: int
    num_beginnings: int
    own_tokens: int
    think_s: float = 0.0
    output_tokens: int = 32

    @property
    def num_requests(self) -> int:
        return self.num_sessions * self.num_turns

    def record(self) -> dict[str, Any]:
        return asdict(self)


CASES = (
    Case("conversations", 6, 12, 4, beginning_tokens=512, num_beginnings=12, own_tokens=48, think_s=2.0),
    # An odd number: of two replicas in turn, an even one would bring each document back to its own by chance.
    Case("documents", 6, 57, 1, beginning_tokens=768, num_beginnings=19, own_tokens=48),
    Case("unlike", 6, 72, 1, beginning_tokens=0, num_beginnings=1, own_tokens=192),
)
# A text of the longest conversation, with room for the template's own tokens and for words of more than one.
CONTEXT_TOKENS = 2048


def workload_of(case: Case, seed: int) -> Workload:
    """What is asked of both sides alike."""
    request = ChatRequest(
        kind="chat",
        prompt_tokens=case.own_tokens,
        output_tokens=case.output_tokens,
        shared_prefix_tokens=case.beginning_tokens,
        num_shared_prefixes=case.num_beginnings,
        turns=case.num_turns,
        think_time_s=case.think_s,
    )
    return Workload(
        name=f"affinity-{case.name}",
        seed=seed,
        duration_s=_MAX_JOB_S,
        warm_up_s=0.0,
        timeout_s=TIMEOUT_S,
        arrivals=ClosedLoop(process="closed", concurrency=case.num_callers, max_sessions=case.num_sessions),
        requests=(request,),
    )
