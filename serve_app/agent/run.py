"""One run of the pipeline: its state, what it has found so far, and what it tells the client.

The states and the moves between them are data, so that a wrong move is an error and not a bug that
shows as a strange answer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from serve_app.agent.citations import Citation, citations, guarded, safe_length, urls
from serve_app.agent.grade import Verdict
from serve_app.grounding.prompt import Source
from serve_app.messages import AgentEvent, AgentQuestion, JsonObject, Passage, RequestContext


class State(StrEnum):
    """Where a run is."""

    RECEIVED = "received"
    ROUTE = "route"
    RETRIEVE = "retrieve"
    GRADE_CTX = "grade_ctx"
    GENERATE = "generate"
    GUARD_OUT = "guard_out"
    FINAL = "final"


MOVES: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.ROUTE}),
    State.ROUTE: frozenset({State.RETRIEVE, State.GENERATE}),
    State.RETRIEVE: frozenset({State.GRADE_CTX, State.GUARD_OUT}),  # no knowledge base: abstain
    State.GRADE_CTX: frozenset({State.GENERATE, State.GUARD_OUT}),  # not answerable: abstain
    State.GENERATE: frozenset({State.GUARD_OUT}),
    State.GUARD_OUT: frozenset({State.FINAL}),
    State.FINAL: frozenset(),
}


class Flag(StrEnum):
    """What is unusual about an answer. Each but `unevaluated` makes it a degraded one."""

    LEXICAL_ONLY = "lexical_only"  # the embedder is down
    KB_UNAVAILABLE = "kb_unavailable"
    MODEL_FALLBACK = "model_fallback"  # a later model of the list answered
    EXTRACTIVE = "extractive"  # quotes instead of a generated answer
    INTERRUPTED = "interrupted"  # the model broke off; the text so far is kept
    DEADLINE = "deadline"  # the time was over; the text so far is kept
    LOW_CONFIDENCE = "low_confidence"  # the passages do not seem to answer
    UNGROUNDED = "ungrounded"  # answered without passages
    UNCITED = "uncited"  # a generated answer that names no passage
    UNEVALUATED = "unevaluated"  # no judge has looked at it


class Outcome(StrEnum):
    """What became of the question."""

    ANSWERED = "answered"
    DEGRADED = "degraded"
    ABSTAINED = "abstained"


@dataclass(slots=True)
class Run:
    """A run; the stages write into it."""

    question: AgentQuestion
    context: RequestContext  # with the answer's own deadline
    state: State = State.RECEIVED
    passages: tuple[Passage, ...] = ()
    sources: tuple[Source, ...] = ()  # the passages as prompts show them
    verdict: Verdict | None = None
    draft: str = ""  # of the model, before the guard
    model: str | None = None  # that wrote the draft; None: quoted, abstained or fixed text
    is_abstained: bool = False
    is_grounded: bool = False  # the draft rests on passages
    flags: dict[str, None] = field(default_factory=dict)  # an ordered set
    notes: list[str] = field(default_factory=list)
    usage: dict[str, int] = field(
        default_factory=lambda: {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 0,
            "num_model_calls": 0,
            "num_calls_without_usage": 0,  # broken off, or the endpoint does not count
        }
    )
    trace: list[JsonObject] = field(default_factory=list)
    num_sent_chars: int = 0  # of the guarded draft
    _entered_at: float = field(default_factory=time.perf_counter)

    def move(self, to: State) -> None:
        if to not in MOVES[self.state]:
            raise AssertionError(f"no move leads from {self.state} to {to}")
        now = time.perf_counter()
        self.trace.append({"state": str(self.state), "ms": round((now - self._entered_at) * 1000, 3)})
        self.state, self._entered_at = to, now

    def flag(self, *flags: str) -> None:
        self.flags.update(dict.fromkeys(str(flag) for flag in flags))

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def count(self, usage: JsonObject | None) -> None:
        """Add one model call's tokens; None: it did not tell them."""
        self.usage["num_model_calls"] += 1
        if usage is None:
            self.usage["num_calls_without_usage"] += 1
            return
        for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
            self.usage[key] += int(usage.get(key) or 0)

    def abstain(self, text: str) -> None:
        self.draft, self.model, self.is_abstained = text, None, True

    def guarded(self, length: int | None = None) -> str:
        """The draft, or a beginning of it, without what may not leave."""
        known = urls([self.question.question, *(source.text for source in self.sources)])
        return guarded(self.draft[:length], len(self.sources), known)

    def unsent(self, *, is_complete: bool) -> str:
        """Text of the draft that can leave now and has not."""
        clean = self.guarded(None if is_complete else safe_length(self.draft))
        new = clean[self.num_sent_chars :]
        self.num_sent_chars += len(new)
        return new

    def citations(self) -> list[JsonObject]:
        """The passages that the answer rests on; those nearest to the question if there is no answer."""
        if self.is_abstained:
            return [self._citation(Citation(source.number, None)) for source in self.sources]
        return [self._citation(citation) for citation in citations(self.draft, self.sources)]

    def outcome(self) -> Outcome:
        if self.is_abstained:
            return Outcome.ABSTAINED
        return Outcome.DEGRADED if self.flags.keys() - {Flag.UNEVALUATED} else Outcome.ANSWERED

    def final(self, cited: Sequence[JsonObject]) -> AgentEvent:
        now = time.perf_counter()
        last = {"state": str(self.state), "ms": round((now - self._entered_at) * 1000, 3)}
        return AgentEvent(
            "answer.final",
            {
                "text": self.draft,
                "outcome": str(self.outcome()),
                "citations": list(cited),
                "flags": list(self.flags),
                "notes": self.notes,
                "usage": self.usage,
                "model": self.model,
                "run": [*self.trace, last],
            },
        )

    def _citation(self, citation: Citation) -> JsonObject:
        passage = self.passages[citation.number - 1]
        return {
            "n": citation.number,
            "passage_id": passage.id,
            "document_id": passage.document_id,
            "source": passage.source,
            "path": passage.path,
            "title": passage.title,
            "headings": list(passage.headings),
            "page": passage.page,
            "quote": citation.quote,
        }
