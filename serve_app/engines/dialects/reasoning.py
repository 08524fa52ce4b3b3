"""What a model thinks before it answers, between <think> and </think>.

Templates differ: some let the model open the block itself, some open it in the prompt, and some put an empty
block there when thinking is switched off.
"""

from __future__ import annotations

from enum import StrEnum

from serve_app.engines.stop_strings import overlap

OPEN = "<think>"
CLOSE = "</think>"


class Thinking(StrEnum):
    """How an answer begins."""

    NEVER = "never"
    POSSIBLE = "possible"  # the model may open the block
    OPEN = "open"  # the prompt has opened it


def thinking_after(prompt: str) -> Thinking:
    """How the answer to a prompt of a thinking model begins."""
    return Thinking.OPEN if prompt.rstrip().endswith(OPEN) else Thinking.POSSIBLE


class ReasoningReader:
    """Parts one answer into reasoning and the rest, as it comes. Blanks around the block are left out."""

    def __init__(self, thinking: Thinking) -> None:
        self._thinking = thinking
        self._is_decided = thinking is not Thinking.POSSIBLE
        self._is_inside = thinking is Thinking.OPEN
        self._is_at_start = True  # of the block, or of the answer after it: blanks do not count
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """(reasoning, answer) that may be sent now."""
        self._held += text
        if not self._is_decided and not self._decide():
            return "", ""
        reasoning = self._take_reasoning() if self._is_inside else ""
        return reasoning, "" if self._is_inside else self._take_answer()

    def rest(self) -> tuple[str, str]:
        """What was held back when the answer ended; a block that is still open was all reasoning."""
        held, self._held = self._held, ""
        return (held.rstrip(), "") if self._is_inside else ("", held)

    def _decide(self) -> bool:
        """Whether it is clear by now that the answer begins with a block, or does not."""
        start = self._held.lstrip()
        if start.startswith(OPEN):
            self._held = start[len(OPEN) :]
            self._is_inside = self._is_decided = True
        elif not OPEN.startswith(start):
            self._is_decided, self._is_at_start = True, False  # blanks before text are the model's own
        return self._is_decided

    def _take_reasoning(self) -> str:
        if self._is_at_start:
            self._held = self._held.lstrip()
            self._is_at_start = not self._held
        at = self._held.find(CLOSE)
        if at >= 0:
            reasoning = self._held[:at].rstrip()
            self._held = self._held[at + len(CLOSE) :]
            self._is_inside, self._is_at_start = False, True
            return reasoning
        clear = len(self._held) - overlap(self._held, CLOSE)
        clear = len(self._held[:clear].rstrip())
        reasoning, self._held = self._held[:clear], self._held[clear:]
        return reasoning

    def _take_answer(self) -> str:
        if self._is_at_start and self._thinking is not Thinking.NEVER:
            self._held = self._held.lstrip()
            self._is_at_start = not self._held
        answer, self._held = self._held, ""
        return answer
