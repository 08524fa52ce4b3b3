"""One run of the pipeline: its state, what it has found so far, and what it tells the client."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from serve_app.agent.citations import Citation, citations, shown
from serve_app.agent.grade import Verdict
from serve_app.agent.leaving import GrowingText, guarded, urls
from serve_app.agent.pages import WEB_SOURCE
from serve_app.agent.route import Route
from serve_app.agent.states import MOVES, Flag, Loop, Outcome, State, WebMode
from serve_app.evaluation.gate import Decision
from serve_app.grounding.prompt import Source
from serve_app.messages import AgentEvent, AgentQuestion, JsonObject, Passage, RequestContext
from serve_app.sessions.base import Session


@dataclass(frozen=True, slots=True)
class Draft:
    """A text that may become the answer, and what it rests on."""

    text: str
    model: str | None  # that wrote it; None: quoted, abstained or fixed text
    flags: tuple[str, ...] = ()  # of this draft alone
    passages: tuple[Passage, ...] = ()
    sources: tuple[Source, ...] = ()
    faithfulness: float | None = None  # as judged


@dataclass(slots=True)
class Run:
    """A run; the stages write into it."""

    question: AgentQuestion
    context: RequestContext  # with the answer's own deadline
    state: State = State.RECEIVED
    queries: tuple[str, ...] = ()  # what is searched for: the question, or what it was rewritten into
    route: Route = Route.KB
    passages: tuple[Passage, ...] = ()
    sources: tuple[Source, ...] = ()  # the passages as prompts show them
    session: Session | None = None  # the conversation as it was loaded; None: none is kept
    embedding_id: str | None = None  # of the model whose cosines the passages carry
    stale_sources: frozenset[str] = frozenset()  # of the passages found so far, those known not to be current
    verdict: Verdict | None = None
    web_mode: WebMode = WebMode.AUGMENT  # of the next web round
    loops: tuple[Loop, ...] = ()  # taken so far
    decision: Decision | None = None  # of the gate, on the last draft
    evaluations: list[JsonObject] = field(default_factory=list)  # what the judge said of each draft
    handed: JsonObject | None = None  # the final event of the agent that the task was handed to
    draft: str = ""  # of the model, before the guard
    model: str | None = None  # that wrote the draft; None: quoted, abstained or fixed text
    best: Draft | None = None  # of the drafts judged so far, in case that the next one is worse
    is_generated: bool = False  # a generative model wrote the draft
    is_abstained: bool = False
    is_grounded: bool = False  # the draft rests on passages
    is_held: bool = False  # new text waits for the gate
    flags: dict[str, None] = field(default_factory=dict)  # an ordered set
    draft_flags: dict[str, None] = field(default_factory=dict)  # those of the current draft alone
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
    sent: str = ""  # text that the client has
    _entered_at: float = field(default_factory=time.perf_counter)
    _began_at: float = field(default_factory=time.perf_counter)

    def move(self, to: State) -> None:
        if to not in MOVES[self.state]:
            raise AssertionError(f"no move leads from {self.state} to {to}")
        now = time.perf_counter()
        self.trace.append({"state": str(self.state), "ms": round((now - self._entered_at) * 1000, 3)})
        self.state, self._entered_at = to, now

    def seconds(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self._began_at

    def flag(self, *flags: str) -> None:
        self.flags.update(dict.fromkeys(str(flag) for flag in flags))

    def flag_draft(self, *flags: str) -> None:
        """Flags that go when the draft goes."""
        self.draft_flags.update(dict.fromkeys(str(flag) for flag in flags))

    def all_flags(self) -> list[str]:
        return list(self.flags | self.draft_flags)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def can_loop(self, loop: Loop, max_loops: int, min_loop_s: float) -> bool:
        """Whether this has not been done yet, and there is time and count left for it."""
        has_time = self.context.deadline.remaining_s() > min_loop_s
        return loop not in self.loops and len(self.loops) < max_loops and has_time

    def count(self, usage: JsonObject | None) -> None:
        """Add one model call's tokens; None: it did not tell them."""
        self.usage["num_model_calls"] += 1
        if usage is None:
            self.usage["num_calls_without_usage"] += 1
            return
        for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
            self.usage[key] += int(usage.get(key) or 0)

    def own_usage(self) -> dict[str, int]:
        """Without that of an agent that the task was handed to, which counts for itself."""
        theirs = (self.handed or {}).get("usage", {})
        return {key: num - int(theirs.get(key) or 0) for key, num in self.usage.items()}

    def abstain(self, text: str) -> None:
        self.draft, self.model, self.is_abstained, self.is_generated = text, None, True, False
        self.draft_flags.clear()

    def keep_best(self) -> None:
        """Remember the judged draft if it is more faithful than those before it."""
        assert self.decision is not None
        value = self.decision.faithfulness
        if self.best is None or (value or 0.0) > (self.best.faithfulness or 0.0):
            flags = tuple(self.draft_flags)
            self.best = Draft(self.draft, self.model, flags, self.passages, self.sources, value)

    def restore(self, draft: Draft) -> None:
        self.draft, self.model = draft.text, draft.model
        self.passages, self.sources = draft.passages, draft.sources
        self.draft_flags = dict.fromkeys(draft.flags)
        self.is_generated = self.is_grounded = True

    def hand_over(self, final: AgentEvent) -> None:
        """Another agent's answer is this run's."""
        self.handed = final.data
        self.draft, self.model = final.data["text"], final.data["model"]
        self.flag(*final.data["flags"])
        for note in final.data["notes"]:
            self.note(note)
        for key in self.usage:
            self.usage[key] += int(final.data["usage"].get(key) or 0)

    def guarded(self) -> str:
        """The draft without what may not leave."""
        return guarded(self.draft, len(self.sources), self._known_urls())

    def growing_text(self) -> GrowingText:
        """For a draft on these sources that leaves while it is written."""
        return GrowingText(len(self.sources), self._known_urls())

    def citations(self) -> list[JsonObject]:
        """The passages that the answer rests on; those nearest to the question if there is no answer."""
        if self.handed is not None:
            return list(self.handed["citations"])
        if self.is_abstained:
            return [self._citation(Citation(source.number, None)) for source in self.sources]
        return [self._citation(citation) for citation in citations(self.draft, self.sources)]

    def outcome(self) -> Outcome:
        if self.state is State.CANCELLED:
            return Outcome.CANCELLED
        if self.handed is not None and self.handed["outcome"] in (Outcome.PAUSED, Outcome.ABSTAINED):
            return Outcome(self.handed["outcome"])
        if self.is_abstained:
            return Outcome.ABSTAINED
        return Outcome.DEGRADED if set(self.all_flags()) - {Flag.UNEVALUATED} else Outcome.ANSWERED

    def final(self, cited: Sequence[JsonObject]) -> AgentEvent:
        now, handed = time.perf_counter(), self.handed or {}
        last = {"state": str(self.state), "ms": round((now - self._entered_at) * 1000, 3)}
        return AgentEvent(
            "answer.final",
            {
                "text": self.draft,
                "outcome": str(self.outcome()),
                "citations": list(cited),
                "flags": self.all_flags(),
                "notes": self.notes,
                "usage": self.usage,
                "model": self.model,
                "run": [*self.trace, last],
                **({"evaluations": self.evaluations} if self.evaluations else {}),
                **self._trace_id(),
                **{key: handed[key] for key in ("run_id", "approval") if key in handed},
            },
        )

    def _trace_id(self) -> JsonObject:
        traceparent = self.context.traceparent
        return {} if traceparent is None else {"trace_id": traceparent.split("-")[1]}

    def _known_urls(self) -> frozenset[str]:
        """Links that may leave: the question's, those of documents, and of pages their own address alone."""
        own = [one.path for one in self.passages if one.source == WEB_SOURCE]
        pages = {n for n, one in enumerate(self.passages, start=1) if one.source == WEB_SOURCE}
        documents = [source.text for source in self.sources if source.number not in pages]
        return urls([self.question.question, *own, *documents])

    def _citation(self, citation: Citation) -> JsonObject:
        return shown(citation, self.passages[citation.number - 1])
