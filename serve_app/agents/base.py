"""The contracts of declared agents: the tools that they call, and what a person decides.

Knows nothing of any agent framework, of HTTP or of Ray.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from configs.schema.agents.tools import ToolBase
from serve_app.agent.base import AgentClient
from serve_app.messages import AgentEvent, ApprovalDecision, JsonObject, Passage, RequestContext

WhenUntrusted = Literal["allow", "approve", "refuse"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model is told of a tool, and what a call of it may take."""

    name: str
    description: str
    parameters: JsonObject  # JSON schema of the arguments, of type object
    timeout_s: float
    max_result_chars: int
    needs_approval: bool = False
    when_untrusted: WhenUntrusted = "allow"

    @classmethod
    def of(
        cls, config: ToolBase, description: str, parameters: JsonObject, name: str | None = None
    ) -> ToolSpec:
        """What the configuration says of every kind of tool, with what a kind says of itself.

        Args:
            name: if the model calls it by another one than the configuration.
        """
        return cls(
            name or config.name,
            description,
            parameters,
            config.timeout_s,
            config.max_result_chars,
            config.approval,
            config.when_untrusted,
        )


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a call gave. Every text in it is untrusted."""

    text: str = ""
    passages: tuple[Passage, ...] = ()  # what a search found; then there is no text
    usage: JsonObject | None = None  # tokens that an asked agent has used
    is_error: bool = False  # the other side says that it failed


class Tool(Protocol):
    """Something that a model may call."""

    @property
    def spec(self) -> ToolSpec: ...

    async def call(self, arguments: JsonObject, context: RequestContext) -> ToolOutput:
        """What it gives for arguments that fit its schema.

        The context's deadline is the call's own. Cancelling the caller's task stops the work.

        Raises:
            MantaError: it cannot; the message is for the model, and holds no text from outside.
        """
        ...


class ToolSource(Protocol):
    """Where tools come from."""

    @property
    def name(self) -> str:
        """As the configuration names it."""
        ...

    async def tools(self, context: RequestContext) -> tuple[Tool, ...]:
        """The tools that there are now.

        Raises:
            MantaError: it cannot be known; agents go on without them.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Closing twice is fine."""
        ...


class DeclaredAgentClient(AgentClient, Protocol):
    """A declared agent. Its events are those of AgentClient, with other types between the first and the last:

        run.started       {run_id, agent, model}
        tool.started      {call_id, tool, arguments}
        tool.ended        {call_id, tool, status: success|error|refused, took_ms, num_chars, error}
        answer.delta      {text}
        citation          as AgentClient has it
        approval.required {run_id, agent, token, expires_in_s, calls: [{call_id, tool, arguments}]}
        answer.final      as AgentClient has it, and run_id; of a run that waits for a person the outcome is
                          `paused` and `approval` holds the data of approval.required

    Raises besides:
        EngineFailed, Unavailable: the model failed before there was any text.
    """

    def resume(self, decision: ApprovalDecision, context: RequestContext) -> AsyncIterator[AgentEvent]:
        """The events of the rest of a paused run.

        Raises:
            NotFound: no such run of this tenant and user waits, or not any more.
            Forbidden: the token is another one.
            BadRequest: the decision leaves out a call, or names one that is not asked about.
            Conflict: it was decided before.
            Unavailable: the store of paused runs cannot be read.
        """
        ...
