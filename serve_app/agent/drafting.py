"""GENERATE: a draft from the first chat model that gives one.

A model that fails, or is silent for too long, before any of its text has left gives way to the next.
Text that has left stays: what the client saw is the beginning of the final answer. While the run is
held for the gate no text leaves, and a model that breaks off is a model that failed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from configs.schema import AgentConfig
from serve_app.agent import prompts
from serve_app.agent.budget import stage_context
from serve_app.agent.run import Run
from serve_app.agent.states import Flag
from serve_app.engines.base import ModelClient
from serve_app.errors import DeadlineExceeded, EngineFailed, MantaError
from serve_app.grounding.extract import PULL_COMMAND, compose, extract
from serve_app.messages import AgentEvent, Endpoint, JsonObject, ModelCard
from serve_app.openai_api.sse import TextDelta, text_deltas
from serve_app.streams import close, next_within, until_deadline

logger = logging.getLogger("manta.agent")

# Of the quotes that stand in for a model; as many as the extractive engine gives by default.
_NUM_QUOTES = 4


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A chat model that the agent may ask."""

    card: ModelCard
    client: ModelClient

    @property
    def name(self) -> str:
        return self.card.name


class Drafter:
    """Asks the models in their order."""

    def __init__(
        self, config: AgentConfig, clients: Mapping[str, ModelClient], cards: Mapping[str, ModelCard]
    ) -> None:
        self._config = config
        self.models = tuple(
            ChatModel(cards[name], clients[name]) for name in config.models if name in clients
        )

    def generative(self) -> tuple[ChatModel, ...]:
        return tuple(model for model in self.models if model.card.is_generative)

    async def draft(
        self, run: Run, messages: Sequence[JsonObject], models: Sequence[ChatModel]
    ) -> AsyncGenerator[AgentEvent]:
        """Deltas of the draft, which is in the run afterwards; `run.model` is None if no model gave one.

        Raises:
            DeadlineExceeded: the time was over before any text left.
        """
        for model in models:
            run.is_generated = model.card.is_generative
            try:
                async with aclosing(self._ask(run, model, messages)) as events:
                    async for event in events:
                        yield event
                if not run.guarded().strip():
                    raise EngineFailed(f"{model.name} gave an empty answer")
            except MantaError as exc:
                if self._is_worth_keeping(run):
                    self._keep(run, model, exc)
                    return
                run.draft, run.is_generated = "", False
                run.context.deadline.check("generate")
                # What went wrong over there is the operator's business; the client learns that it did.
                logger.warning("%s gave no answer: %s", model.name, exc)
                run.note(f"The chat model {model.name} gave no answer ({exc.code or 'error'}).")
                continue
            run.model = model.name
            self._label(run, model)
            return

    def quote(self, run: Run) -> str | None:
        """The passages' own sentences, in place of a model's answer; None if none fits."""
        pieces = compose(extract(run.question.question, run.sources, _NUM_QUOTES))
        if not pieces:
            return None
        run.draft, run.model, run.is_generated = "".join(pieces), None, False
        run.draft_flags.clear()
        run.flag_draft(Flag.EXTRACTIVE)
        run.note(prompts.QUOTED)
        return run.draft

    async def _ask(
        self, run: Run, model: ChatModel, messages: Sequence[JsonObject]
    ) -> AsyncGenerator[AgentEvent]:
        body = {
            "model": model.name,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": min(
                run.question.max_tokens or self._config.max_answer_tokens, self._config.max_answer_tokens
            ),
            "temperature": self._config.temperature
            if run.question.temperature is None
            else run.question.temperature,
        }
        frames = model.client.stream(Endpoint.CHAT, body, run.context)
        usage: JsonObject | None = None
        leaving = run.growing_text()
        try:
            async with aclosing(self._deltas(run, text_deltas(frames))) as deltas:
                async for delta in deltas:
                    usage = delta.usage or usage
                    piece = delta.text if run.draft else delta.text.lstrip()
                    run.draft += piece
                    if delta.finish_reason == "length":
                        run.note(f"The answer was cut at {body['max_tokens']} tokens.")
                    if piece and not run.is_held and (text := leaving.grow(piece)):
                        run.sent += text
                        yield AgentEvent("answer.delta", {"text": text})
        finally:
            await close(frames)
            run.count(usage)

    async def _deltas(self, run: Run, deltas: AsyncGenerator[TextDelta]) -> AsyncGenerator[TextDelta]:
        """The model's deltas: the first text within its own budget, the rest within the answer's."""
        first_deadline = stage_context(run.context, self._config.budget.first_token_s).deadline
        async with (
            aclosing(deltas),
            aclosing(until_deadline(deltas, run.context.deadline, "generate")) as rest,
        ):
            has_text = False
            while not has_text:
                try:
                    delta = await next_within(deltas, first_deadline, "first token")
                except StopAsyncIteration:
                    return
                has_text = bool(delta.text)
                yield delta
            async for delta in rest:
                yield delta

    def _is_worth_keeping(self, run: Run) -> bool:
        """Whether a draft that broke off is the answer: text of it has left, or there is no time for another."""
        if not run.is_held:
            return bool(run.sent)
        return run.context.deadline.remaining_s() <= 0 and bool(run.guarded().strip())

    def _keep(self, run: Run, model: ChatModel, exc: MantaError) -> None:
        """A draft that broke off and stays."""
        run.model = model.name
        self._label(run, model)
        if isinstance(exc, DeadlineExceeded):
            run.flag_draft(Flag.DEADLINE)
            run.note("The time was over before the answer was complete.")
            return
        logger.warning("%s broke off: %s", model.name, exc)
        run.flag_draft(Flag.INTERRUPTED)
        run.note(f"The chat model {model.name} broke off ({exc.code or 'error'}); the answer is incomplete.")

    def _label(self, run: Run, model: ChatModel) -> None:
        if model.card.is_generative:
            run.flag_draft(Flag.UNEVALUATED)
            if model is not self.models[0]:
                run.flag_draft(Flag.MODEL_FALLBACK)
            return
        run.flag_draft(Flag.EXTRACTIVE)
        if not self.generative():
            run.note(prompts.NO_MODEL.format(command=PULL_COMMAND))
