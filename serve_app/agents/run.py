"""One run of a declared agent: what it has done, what it may still do, and what its client is told.

Knows nothing of any agent framework: the loop asks it before each step and each call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from configs.schema import DeclaredAgent
from serve_app.agent.citations import citations, shown
from serve_app.agent.leaving import GrowingText, urls
from serve_app.agent.states import Outcome
from serve_app.agents.base import ToolSpec
from serve_app.agents.fence import Fence
from serve_app.grounding.prompt import Source, sources_of
from serve_app.messages import AgentEvent, AgentQuestion, JsonObject, Passage, RequestContext

NO_ANSWER = "I came to no answer within the limits that I have."
WAITING = "I need a person's approval before I go on."
_CHARS_PER_TOKEN = 4  # of English prose, roughly; only where a model does not count
_MIN_ANSWER_TOKENS = 16


class Flag(StrEnum):
    """What is unusual about an answer. Each makes it a degraded one."""

    STEP_LIMIT = "step_limit"
    TOOL_CALL_LIMIT = "tool_call_limit"
    TOKEN_LIMIT = "token_limit"  # noqa: S105 (no password)
    DEADLINE = "deadline"
    CUT = "cut"  # a step wrote as much as it may
    INTERRUPTED = "interrupted"  # the model broke off; the text so far is kept
    TOOL_FAILED = "tool_failed"
    TOOLS_UNAVAILABLE = "tools_unavailable"  # the agent went on without some of its tools
    WITHHELD = "output_withheld"  # a result looked like instructions to a model
    SESSION_UNAVAILABLE = "session_unavailable"


class RunOver(Exception):
    """A limit is reached: no further step may be made."""

    def __init__(self, flag: Flag) -> None:
        super().__init__(flag)
        self.flag = flag


@dataclass(frozen=True, slots=True)
class Step:
    """What the next call of the model may do."""

    max_tokens: int
    may_call_tools: bool


def _no_usage() -> dict[str, int]:
    keys = (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "num_model_calls",
        "num_calls_without_usage",
    )
    return dict.fromkeys(keys, 0)


def _add_tokens(to: dict[str, int], usage: JsonObject) -> None:
    for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
        to[key] += int(usage.get(key) or 0)


@dataclass(slots=True)
class RunState:
    """What of a run outlives a pause: plain JSON, but for the passages."""

    nonce: str
    num_steps: int = 0
    num_tool_calls: int = 0
    num_tokens: int = 0  # that count for the limit: told by models, else estimated
    usage: dict[str, int] = field(default_factory=_no_usage)  # as models told it
    text: str = ""  # of the steps that are over, as it left
    has_read_results: bool = False  # of tools, by now
    had_read_results: bool = False  # when the model decided on the calls that are made now
    flags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    trace: list[JsonObject] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)  # that may stand in the answer
    passages: list[Passage] = field(default_factory=list)  # in the order of their numbers

    def to_json(self) -> JsonObject:
        return asdict(self)

    @classmethod
    def from_json(cls, document: JsonObject) -> RunState:
        passages = [Passage(**{**one, "headings": tuple(one["headings"])}) for one in document["passages"]]
        return cls(**{**document, "passages": passages})


class AgentRun:
    """A run; whoever drives it tells it what happens.

    Args:
        context: with the run's own deadline.
        state: new, or of the run that was paused.
        emit: takes the events, in their order.
        clock: seconds, for what things took.
    """

    def __init__(
        self,
        run_id: str,
        config: DeclaredAgent,
        question: AgentQuestion,
        context: RequestContext,
        state: RunState,
        emit: Callable[[AgentEvent], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.run_id = run_id
        self.config = config
        self.question = question
        self.context = context
        self.state = state
        self.emit = emit
        self.clock = clock
        self.fence = Fence(state.nonce, config.withhold_at)
        self.approval: JsonObject | None = None  # what is asked of a person
        self.is_cancelled = False  # its caller has left
        # Of calls made since it began or went on, without those of agents that it asked: these count for themselves.
        self.own_usage = _no_usage()
        self._is_abstained = False
        self._draft = GrowingText(0, ())  # of this step, and what of it has left
        self._has_sent = False  # text of this step
        self._began_at = clock()

    # ------------------------------------------------------------ steps

    def begin_step(self, num_prompt_chars: int, *, has_tools: bool) -> Step:
        """What the next call of the model may do.

        Raises:
            RunOver: there is nothing left for another.
        """
        limits, state = self.config.limits, self.state
        self._end_text()
        num_prompt = num_prompt_chars // _CHARS_PER_TOKEN
        num_left = limits.max_total_tokens - state.num_tokens - num_prompt
        if state.num_steps >= limits.max_steps:
            raise RunOver(Flag.STEP_LIMIT)
        if num_left < _MIN_ANSWER_TOKENS:
            raise RunOver(Flag.TOKEN_LIMIT)
        state.num_steps += 1
        state.had_read_results = state.has_read_results
        known_urls = frozenset(state.urls) | urls([self.question.question, self.config.prompt])
        self._draft = GrowingText(len(state.passages), known_urls)
        max_tokens = min(
            limits.max_answer_tokens, self.question.max_tokens or limits.max_answer_tokens, num_left
        )
        last = self._why_last(num_left - max_tokens - num_prompt)
        if last is not None and has_tools:
            self.flag(last)
        return Step(max_tokens, may_call_tools=has_tools and last is None)

    def say(self, text: str) -> None:
        """A piece of the model's text; what of it can leave does."""
        self._send(self._draft.grow(text))

    def count(self, usage: JsonObject | None, num_chars: int) -> None:
        """Tokens of one call of the model; None: it did not tell, and had so many characters to read and write."""
        for told in (self.state.usage, self.own_usage):
            told["num_model_calls"] += 1
            told["num_calls_without_usage"] += usage is None
        if usage is None:
            self.state.num_tokens += num_chars // _CHARS_PER_TOKEN
            return
        _add_tokens(self.own_usage, usage)
        self._add_tokens(usage)

    def count_agent(self, usage: JsonObject) -> None:
        """Tokens that another agent used for this one."""
        for key in ("num_model_calls", "num_calls_without_usage"):
            self.state.usage[key] += int(usage.get(key) or 0)
        self._add_tokens(usage)

    # ------------------------------------------------------------ calls of tools

    def refusal(self, spec: ToolSpec) -> str | None:
        """Why a call may not be made, in words for the model; None: it may."""
        if self.state.num_tool_calls >= self.config.limits.max_tool_calls:
            self.flag(Flag.TOOL_CALL_LIMIT)
            return "No calls are left: answer from what you have."
        if self.state.had_read_results and spec.when_untrusted == "refuse":
            return f"{spec.name} may not be called any more, now that results of tools were read."
        if self.needs_approval(spec) and not self.question.may_pause:
            return f"{spec.name} needs a person's approval, and nobody can be asked here."
        return None

    def needs_approval(self, spec: ToolSpec) -> bool:
        return spec.needs_approval or (self.state.had_read_results and spec.when_untrusted == "approve")

    def add_passages(self, passages: Sequence[Passage]) -> tuple[Source, ...]:
        """Number passages on from those before; answers cite them."""
        offset = len(self.state.passages)
        self.state.passages += passages
        return tuple(Source(offset + one.number, one.label, one.text) for one in sources_of(passages))

    def read(self, text: str) -> None:
        """The model is about to read this: its links may leave, as they stand."""
        self.state.has_read_results = True
        self.state.urls = sorted({*self.state.urls, *urls([text])})

    # ------------------------------------------------------------ the end

    def flag(self, flag: str) -> None:
        if flag not in self.state.flags:
            self.state.flags.append(str(flag))

    def note(self, text: str) -> None:
        if text not in self.state.notes:
            self.state.notes.append(text)

    def seconds(self) -> float:
        """Since the run began or went on."""
        return self.clock() - self._began_at

    @property
    def has_text(self) -> bool:
        """Whether anything has left, or would if no further step were made."""
        return bool(self.state.text.strip() or self._draft.rest().strip())

    def outcome(self) -> Outcome:
        if self.is_cancelled:
            return Outcome.CANCELLED
        if self.approval is not None:
            return Outcome.PAUSED
        if self._is_abstained:
            return Outcome.ABSTAINED
        return Outcome.DEGRADED if self.state.flags else Outcome.ANSWERED

    def settle(self) -> None:
        """No further step is made: let the rest of the text leave, or say why there is none."""
        self._end_text()
        if not self.state.text.strip():
            self._is_abstained = self.approval is None
            self._send(NO_ANSWER if self._is_abstained else WAITING)

    def end(self) -> tuple[list[JsonObject], AgentEvent]:
        """(What the text cites, the final event) of a run that is settled."""
        text = self.state.text
        passages = self.state.passages
        cited = [shown(one, passages[one.number - 1]) for one in citations(text, sources_of(passages))]
        final: JsonObject = {
            "text": text,
            "outcome": str(self.outcome()),
            "citations": cited,
            "flags": self.state.flags,
            "notes": self.state.notes,
            "usage": self.state.usage,
            "model": self.config.model,
            "run": self.state.trace,
            "run_id": self.run_id,
        }
        if self.approval is not None:
            final["approval"] = self.approval
        if self.context.traceparent is not None:
            final["trace_id"] = self.context.traceparent.split("-")[1]
        return cited, AgentEvent("answer.final", final)

    # ------------------------------------------------------------

    def _why_last(self, num_left_after: int) -> Flag | None:
        """Why the step that begins is the last that there is room for; None: it need not be."""
        if self.state.num_steps >= self.config.limits.max_steps:
            return Flag.STEP_LIMIT
        if self.state.num_tool_calls >= self.config.limits.max_tool_calls:
            return Flag.TOOL_CALL_LIMIT
        return Flag.TOKEN_LIMIT if num_left_after < _MIN_ANSWER_TOKENS else None

    def _add_tokens(self, usage: JsonObject) -> None:
        _add_tokens(self.state.usage, usage)
        self.state.num_tokens += int(usage.get("total_tokens") or 0)

    def _send(self, new: str) -> None:
        """Send what a step's text has grown by; a paragraph of its own after the text of earlier steps."""
        if not self._has_sent:
            new = new.lstrip()
            if not new:
                return
            self._has_sent = True
            new = ("\n\n" if self.state.text else "") + new
        if new:
            self.state.text += new
            self.emit(AgentEvent("answer.delta", {"text": new}))

    def _end_text(self) -> None:
        """The step's text is complete."""
        self._send(self._draft.rest().rstrip())
        self._draft, self._has_sent = GrowingText(0, ()), False
