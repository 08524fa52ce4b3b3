"""Agents that are declared: a prompt, a model and tools, in a loop within limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from configs.schema.agents.tools import AgentTool, ToolConfig, ToolName, WebTool, names_for_models
from configs.schema.base import Fraction, Name, Strict
from configs.schema.scaling import ScalingConfig


class AgentLimits(Strict):
    """What one run may use. The last step that is left has no tools, so that it answers."""

    max_steps: int = Field(default=8, ge=1, le=50, description="Calls of the model.")
    max_tool_calls: int = Field(default=16, ge=0, description="Calls of tools.")
    time_s: float = Field(default=60.0, gt=0, description="Seconds for the whole run, pauses left out.")
    max_total_tokens: int = Field(
        default=50_000, ge=64, description="Tokens of all prompts and answers, other agents' included."
    )
    max_answer_tokens: int = Field(default=1024, ge=16, description="Tokens that one step may write.")


class DeclaredAgent(Strict):
    """An agent of its own: a name in `/v1/models`, and replicas that scale on their own."""

    name: Name = Field(description="What clients write into `model` to ask it.")
    model: Name = Field(
        description="The chat model that it thinks with; one that calls tools, if it has any."
    )
    prompt: str = Field(min_length=1, description="Its instructions: the system message.")
    description: str = Field(
        default="An assistant.",
        min_length=1,
        description="What it is good for, on one line: for people, and for agents that may ask it.",
    )
    tools: tuple[ToolName, ...] = Field(default=(), description="Names of the tools that it may call.")
    memory: Literal["none", "session"] = Field(
        default="none",
        description="`session`: turns of a conversation are kept, and known to the next one of the same session.",
    )
    limits: AgentLimits = Field(default=AgentLimits(), description="What one run may use.")
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="Of the model.")
    max_question_chars: int = Field(default=8000, ge=16, description="Longest question.")
    withhold_at: Fraction = Field(
        default=0.8,
        gt=0,
        description="Results of tools whose text looks this much like instructions to a model (0 to 1) are withheld.",
    )
    approval_ttl_s: float = Field(
        default=3600.0, gt=0, description="Seconds that a paused run waits for a person."
    )
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")


def check_agents(
    agents: Sequence[DeclaredAgent],
    tools: Sequence[ToolConfig],
    engines: Mapping[str, str],
    pipeline: str,
    task_agent: str | None,
    *,
    has_sessions: bool,
    has_web: bool,
) -> None:
    """Refuse, by name, what cannot work.

    Args:
        engines: engine of every chat model, by its name.
        pipeline: the pipeline's name.
        task_agent: the agent that the pipeline hands tasks to.
        has_sessions: whether conversations are kept.
        has_web: whether the web can be searched.

    Raises:
        ValueError: it names the agent or the tool.
    """
    by_name = {tool.name: tool for tool in tools}
    if len(by_name) < len(tools):
        names = [tool.name for tool in tools]
        raise ValueError(f"tools: {next(n for n in names if names.count(n) > 1)!r} is declared twice")
    known = {agent.name for agent in agents}
    for agent in agents:
        _check_model(agent, engines)
        for name in agent.tools:
            if name not in by_name:
                raise ValueError(f"agents.{agent.name} names the tool {name!r}, which {_none_of(by_name)}")
        _check_names(agent, [by_name[name] for name in agent.tools])
        waits = any(by_name[name].approval for name in agent.tools)
        if not has_sessions and (waits or agent.memory == "session"):
            what = "a tool that a person approves" if waits else "memory: session"
            raise ValueError(f"agents.{agent.name} has {what}, which needs `sessions`")
    for tool in tools:
        if isinstance(tool, WebTool) and not has_web:
            raise ValueError(f"tools.{tool.name} searches the web, which needs `web_search`")
        if isinstance(tool, AgentTool) and tool.agent not in known | {pipeline}:
            raise ValueError(f"tools.{tool.name} names the agent {tool.agent!r}, which {_none_of(known)}")
    if task_agent is not None and task_agent not in known:
        raise ValueError(f"agent.task names the agent {task_agent!r}, which {_none_of(known)}")
    order_of_calls(calls_of(agents, tools, pipeline, task_agent))


def calls_of(
    agents: Sequence[DeclaredAgent], tools: Sequence[ToolConfig], pipeline: str, task_agent: str | None
) -> dict[str, tuple[str, ...]]:
    """Agent -> agents that it may ask; the pipeline is one of them."""
    asks = {tool.name: tool.agent for tool in tools if isinstance(tool, AgentTool)}
    calls = {agent.name: tuple(asks[name] for name in agent.tools if name in asks) for agent in agents}
    return calls | {pipeline: (task_agent,) if task_agent else ()}


def order_of_calls(calls: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The agents, every one after those that it asks.

    Args:
        calls: agent -> agents that it may ask, each of which has an entry.

    Raises:
        ValueError: they ask each other in a circle; it is named.
    """
    done: dict[str, None] = {}  # an ordered set

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            circle = (*trail[trail.index(name) :], name)
            raise ValueError(f"agents ask each other in a circle: {' -> '.join(circle)}")
        if name not in done:
            for other in calls[name]:
                visit(other, (*trail, name))
            done[name] = None

    for name in calls:
        visit(name, ())
    return tuple(done)


def _check_model(agent: DeclaredAgent, engines: Mapping[str, str]) -> None:
    if agent.model not in engines:
        raise ValueError(f"agents.{agent.name} names the model {agent.model!r}, which {_none_of(engines)}")
    if engines[agent.model] == "extractive":
        raise ValueError(
            f"agents.{agent.name} names the model {agent.model!r}, which only quotes passages: "
            "an agent needs one that generates"
        )


def _check_names(agent: DeclaredAgent, tools: Sequence[ToolConfig]) -> None:
    names = [name for tool in tools for name in names_for_models(tool)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"agents.{agent.name} has two tools that the model would call {name!r}")


def _none_of(names: Mapping[str, object] | set[str]) -> str:
    return f"is none of: {', '.join(sorted(names)) or '(there are none)'}"
