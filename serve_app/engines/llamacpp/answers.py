"""What an answer of this model is held to, and how it is read: template, vocabulary and dialect together."""

from __future__ import annotations

from dataclasses import dataclass

from configs.schema import LlamaCppModel
from serve_app.engines.base import GenerationRequest
from serve_app.engines.dialects import reasoning
from serve_app.engines.dialects.answers import AnswerReader, answer_grammar
from serve_app.engines.dialects.base import Dialect, Markers
from serve_app.engines.dialects.reasoning import Thinking, thinking_after
from serve_app.engines.dialects.registry import DIALECTS, can_think, choose_dialect
from serve_app.engines.llamacpp.grammar import Constraint, Grammars, control_tokens
from serve_app.engines.llamacpp.library import Model
from serve_app.engines.llamacpp.template import ChatTemplate
from serve_app.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to come."""

    constraint: Constraint | None = None  # None: any text
    reader: AnswerReader | None = None  # None: it is all text
    markers: frozenset[int] = frozenset()  # control tokens that the reader wants to see


class Answers:
    """The answers of one model. Safe for several threads."""

    def __init__(self, config: LlamaCppModel, model: Model, template: ChatTemplate) -> None:
        self._name = config.name
        self._dialect = choose_dialect(config.tool_dialect, template.source)
        self._can_think = can_think(config.reasoning, template.source)
        self._knows_tools = template.knows_tools
        self._grammars = Grammars(model)
        marks = {reasoning.OPEN, reasoning.CLOSE, *(self._dialect.markers if self._dialect else ())}
        self._markers = Markers(control_tokens(model, sorted(marks)))

    def to_prompt(self, request: GenerationRequest) -> Answer:
        """What follows a plain prompt.

        Raises:
            BadRequest: the schema is impossible or cannot be enforced.
        """
        return Answer(self._constraint(request, None, Thinking.NEVER))

    def to_chat(self, request: GenerationRequest, prompt: str) -> Answer:
        """What follows a conversation, which the template wrote as `prompt`.

        Raises:
            BadRequest: a schema is impossible or cannot be enforced, or the model cannot use tools.
        """
        thinking = thinking_after(prompt) if self._can_think else Thinking.NEVER
        dialect = self._tool_dialect() if request.tools is not None else None
        constraint = self._constraint(request, dialect, thinking)
        if dialect is None and thinking is Thinking.NEVER:
            return Answer(constraint)
        calls = dialect.reader(request.tools) if dialect is not None and request.tools is not None else None
        markers = frozenset(self._markers.control_tokens.values())
        return Answer(constraint, AnswerReader(thinking, calls), markers)

    def _constraint(
        self, request: GenerationRequest, dialect: Dialect | None, thinking: Thinking
    ) -> Constraint | None:
        lark = answer_grammar(dialect, request.tools, request.schema, thinking, self._markers)
        if lark is None:
            return None
        return self._grammars.compile(lark, "response_format" if request.tools is None else "tools")

    def _tool_dialect(self) -> Dialect:
        if not self._knows_tools:
            raise BadRequest(f"{self._name}'s chat template knows no tools", "tools")
        if self._dialect is None:
            known = ", ".join(sorted(DIALECTS))
            raise BadRequest(
                f"{self._name} writes tool calls in a way that is not known here; where it is one of {known}, set "
                "tool_dialect in the model's configuration",
                "tools",
            )
        return self._dialect
