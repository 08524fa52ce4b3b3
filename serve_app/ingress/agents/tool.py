"""The agents as an MCP tool: `ask`, with what it takes and gives, and the run's stages as progress."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from serve_app.errors import ModelNotFound
from serve_app.ingress.agents.events import FINAL, events_of
from serve_app.ingress.requests.connection import within_deadline
from serve_app.ingress.services import Services
from serve_app.messages import AgentEvent, AgentQuestion, JsonObject, RequestContext
from serve_app.tool_server.base import Progress, ServedTool

TOOL_NAME = "ask"
# Of these a caller has nothing on the way: the answer's text and its citations come whole, at the end.
_SILENT = frozenset({"answer.delta", "answer.revised", "citation", FINAL})


class AskParams(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(min_length=1, description="What to answer, complete in itself.")
    agent: str | None = Field(
        default=None, max_length=128, description="Who is to answer; null: the pipeline."
    )
    k: Annotated[int, Field(ge=1, le=50)] | None = Field(default=None, description="Passages to answer from.")
    filters: dict[str, str | list[str]] = Field(
        default={}, description="Only documents whose field equals the value, or one of the values."
    )


class CitedSource(BaseModel):
    """A passage of a document, or a page of the web, that the answer rests on."""

    model_config = ConfigDict(extra="ignore")

    n: int = Field(description="As it stands in the answer, in brackets.")
    path: str = Field(description="Of the document, or the page's address.")
    source: str = Field(default="", description="The collection; `web` for pages.")
    title: str = ""
    quote: str | None = Field(default=None, description="The words that are nearest to the citing sentence.")


class Answer(BaseModel):
    """An answer, what it rests on, and what is unusual about it."""

    model_config = ConfigDict(extra="ignore")

    text: str
    outcome: str = Field(description="answered, degraded, abstained, or paused.")
    citations: list[CitedSource]
    flags: list[str] = Field(description="What is unusual, such as `web_unavailable` or `low_confidence`.")
    notes: list[str]
    model: str | None = Field(
        default=None, description="The model that wrote it; null: nobody did, it is quoted."
    )
    usage: dict[str, int]


def ask_tool(services: Services, context: RequestContext | None) -> ServedTool:
    """The tool for one request's caller; without a context it can be described, and not run."""

    async def run(params: AskParams, progress: Progress) -> Answer:
        assert context is not None
        name = agent_name(services, params.agent)
        if services.front is not None and services.front.guard is not None:
            body = await services.front.guard.let_in({"question": params.question}, context, {})
            params = params.model_copy(update=body)
        asked = _final(services, name, params, context, progress)
        final = await within_deadline(context.deadline, name, services.waking(name, asked))
        return Answer.model_validate(final)

    return ServedTool(
        TOOL_NAME, _description(services), AskParams, Answer, run, text=_text, is_open_world=True
    )


def agent_name(services: Services, asked: str | None) -> str:
    """The agent of that name; none named: the pipeline.

    Raises:
        ModelNotFound: there is no such agent.
    """
    if asked is None:
        return next(iter(services.agents))
    if asked not in services.agents:
        raise ModelNotFound(f"no agent {asked!r} is served; there are: {', '.join(sorted(services.agents))}")
    return asked


async def _final(
    services: Services, name: str, params: AskParams, context: RequestContext, progress: Progress
) -> JsonObject:
    # A tool's caller has no way to approve what a run would wait with.
    question = AgentQuestion(params.question, k=params.k, filters=params.filters, may_pause=False)
    async with aclosing(events_of(services.agents[name], question, context)) as events:
        async for event in events:
            final = event.data
            if event.type not in _SILENT:
                await progress(_told(event))
    return final


def _told(event: AgentEvent) -> str:
    """A stage in a few words, and none of what was found: that is untrusted until the answer is checked."""
    data: dict[str, Any] = event.data
    details = [str(data[key]) for key in ("route", "verdict", "mode") if isinstance(data.get(key), str)]
    if isinstance(data.get("n"), int):
        details.append(f"{data['n']} found")
    return f"{event.type}: {', '.join(details)}" if details else event.type


def _description(services: Services) -> str:
    names = ", ".join(services.agents)
    return (
        "Answers a question from the ingested documents, and from the web where that is configured. The answer cites"
        f" its sources, says when there is none, and carries flags when something was amiss. Agents: {names}."
    )


def _text(answer: Answer) -> str:
    sources = [f"[{one.n}] {one.title or one.path} ({one.path})" for one in answer.citations]
    flags = f"Flags: {', '.join(answer.flags)}" if answer.flags else ""
    return "\n\n".join(part for part in (answer.text, "\n".join(sources), flags) if part)
