"""A small model's help: the route of a question that no rule knows, and other words for a search.

Both are optional and neither may harm: a helper that fails or answers nonsense means the route `kb`,
and no rewriting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from serve_app.agent.budget import within
from serve_app.agent.route import Route
from serve_app.agent.run import Run
from serve_app.engines.base import ModelClient
from serve_app.errors import EngineFailed
from serve_app.evaluation.structured import Reply, ask
from serve_app.grounding.untrusted import one_line
from serve_app.messages import JsonObject, RequestContext

MAX_QUERIES = 2
_MAX_QUERY_CHARS = 300
_NUM_TURNS = 4  # earlier turns that say what "it" is

_ROUTE = """\
Classify the user's last message. "chitchat": greetings, thanks, small talk. "fresh": needs news or \
facts of the last days. "refuse": asks for help to harm people. {task}"kb": everything else; when in doubt, "kb"."""
_TASK = '"task": asks to have something done, and no question about documents, by an assistant of which it is said: '
_REWRITE = """\
A search of the documents for the user's last message found nothing that fits. Write one or two other search \
queries for the same question: whole words, names written out, no pronouns, in the question's language."""
_REWRITE_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "queries": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_QUERIES}
    },
    "required": ["queries"],
    "additionalProperties": False,
}


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """What a helper says."""

    value: T
    usage: JsonObject | None  # of the model call that it took; None: the model did not tell


class Helper(Protocol):
    """Answers small questions about a question."""

    async def route(
        self, question: str, history: Sequence[JsonObject], context: RequestContext
    ) -> Told[Route]:
        """Where the question goes.

        Raises:
            MantaError: there is no usable answer.
        """
        ...

    async def rewrite(
        self, question: str, history: Sequence[JsonObject], context: RequestContext
    ) -> Told[tuple[str, ...]]:
        """One or two queries for the same question. Raises as `route`."""
        ...


class ModelHelper:
    """A Helper over a served chat model. `task`: what the agent for tasks is good for; None: there is none."""

    def __init__(self, name: str, client: ModelClient, task: str | None = None) -> None:
        self._name = name
        self._client = client
        self._route_prompt = _ROUTE.format(task="" if task is None else f"{_TASK}{one_line(task, 300)} ")
        routes = [str(route) for route in Route if task is not None or route is not Route.TASK]
        self._route_schema: JsonObject = {
            "type": "object",
            "properties": {"route": {"type": "string", "enum": routes}},
            "required": ["route"],
            "additionalProperties": False,
        }

    async def route(
        self, question: str, history: Sequence[JsonObject], context: RequestContext
    ) -> Told[Route]:
        reply = await self._ask(self._route_prompt, question, history, self._route_schema, context)
        try:
            return Told(Route(str(reply.value.get("route"))), reply.usage)
        except ValueError as exc:
            raise EngineFailed(f"{self._name} named no route: {str(reply.value)[:100]}") from exc

    async def rewrite(
        self, question: str, history: Sequence[JsonObject], context: RequestContext
    ) -> Told[tuple[str, ...]]:
        reply = await self._ask(_REWRITE, question, history, _REWRITE_SCHEMA, context)
        given = reply.value.get("queries")
        listed = given if isinstance(given, list) else []
        queries = [one_line(one, _MAX_QUERY_CHARS) for one in listed if isinstance(one, str)]
        if not any(queries):
            raise EngineFailed(f"{self._name} gave no query")
        return Told(tuple(dict.fromkeys(query for query in queries if query))[:MAX_QUERIES], reply.usage)

    async def _ask(
        self,
        instructions: str,
        question: str,
        history: Sequence[JsonObject],
        schema: JsonObject,
        context: RequestContext,
    ) -> Reply:
        turns = [turn for turn in history if turn["role"] in ("user", "assistant")][-_NUM_TURNS:]
        messages = [
            {"role": "system", "content": instructions},
            *turns,
            {"role": "user", "content": question},
        ]
        return await ask(self._client, self._name, messages, schema, context)


class FixtureHelper:
    """A Helper with answers that are given beforehand."""

    def __init__(
        self, route: Route = Route.KB, queries: tuple[str, ...] = (), usage: JsonObject | None = None
    ) -> None:
        self._route = route
        self._queries = queries
        self._usage = usage

    async def route(
        self, question: str, history: Sequence[JsonObject], context: RequestContext
    ) -> Told[Route]:
        context.deadline.check("route")
        return Told(self._route, self._usage)

    async def rewrite(
        self, question: str, history: Sequence[JsonObject], context: RequestContext
    ) -> Told[tuple[str, ...]]:
        context.deadline.check("rewrite")
        if not self._queries:
            raise EngineFailed("the fixture has no query")
        return Told(self._queries, self._usage)


async def helped(
    run: Run, say: Callable[[RequestContext], Awaitable[Told[T]]], seconds: float, stage: str
) -> T:
    """What the helper says within its time; a model call of the run, however it ends. Raises as the helper does."""
    usage: JsonObject | None = None
    try:
        told = await within(say, run.context, seconds, stage)
        usage = told.usage
        return told.value
    finally:
        run.count(usage)
