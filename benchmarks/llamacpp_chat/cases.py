"""What is asked: how many callers, prompts of how many tokens, answers of how many. Pure.

Knows nothing of servers. A case is a fixed piece of work, so that every server does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# A context is rounded up to this by llama.cpp (GGML_PAD in llama_context's constructor).
CONTEXT_STEP = 256
# Servers differ in whether a text may fill its context to the last token.
CONTEXT_MARGIN = 16
NUM_SHARED_TOKENS = 1024
NUM_OWN_TOKENS = 128
NUM_SHARED_CALLERS = 16


@dataclass(frozen=True, slots=True)
class Case:
    """A number of callers who each ask again when they have their answer, until all requests are answered.

    Args:
        prompt_tokens: of each prompt, the shared ones and the one for its beginning with them.
        shared_tokens: with which all prompts begin; 0: no two prompts have more than the beginning in common.
        num_requests: of all callers together.
    """

    num_callers: int
    prompt_tokens: int
    output_tokens: int
    num_requests: int
    shared_tokens: int = 0

    @property
    def name(self) -> str:
        """For people and folders; the number of requests is not in it."""
        prompt = str(self.prompt_tokens)
        if self.shared_tokens:
            prompt = f"{self.shared_tokens}+{self.prompt_tokens - self.shared_tokens}"
        return f"{self.num_callers}x{prompt}/{self.output_tokens}"

    @property
    def context_tokens(self) -> int:
        """Of each sequence: prompt and answer, and a little room."""
        num = self.prompt_tokens + self.output_tokens + CONTEXT_MARGIN
        return -(-num // CONTEXT_STEP) * CONTEXT_STEP

    @property
    def least_read_tokens(self) -> int:
        """Tokens of all prompts together when nothing is computed twice."""
        own = self.prompt_tokens - self.shared_tokens
        return self.shared_tokens + self.num_requests * own


def plan_cases(
    callers: Sequence[int],
    prompt_tokens: Sequence[int],
    output_tokens: int,
    *,
    requests_per_caller: int,
    min_requests: int,
    with_shared: bool,
) -> list[Case]:
    """Every number of callers with every length of prompt, and at the end the prompts with a shared beginning."""

    def num_requests(num_callers: int) -> int:
        return max(min_requests, num_callers * requests_per_caller)

    cases = [
        Case(num_callers, num_tokens, output_tokens, num_requests(num_callers))
        for num_tokens in prompt_tokens
        for num_callers in callers
    ]
    if with_shared:
        num_callers, num_tokens = NUM_SHARED_CALLERS, NUM_SHARED_TOKENS + NUM_OWN_TOKENS
        num = num_requests(num_callers)
        cases.append(Case(num_callers, num_tokens, output_tokens, num, NUM_SHARED_TOKENS))
    return cases
