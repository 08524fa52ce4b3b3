"""The small model first, and the large one when a signal says so: never after a byte was sent to the client."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from configs.schema import CascadeConfig
from serve_app.errors import InputTooLong, MantaError
from serve_app.front.base import Ask, Served, Source
from serve_app.messages import Deadline, Endpoint
from serve_app.routing.base import Choice, Why
from serve_app.routing.group import Group
from serve_app.routing.held import HeldAnswer
from serve_app.routing.signals import hard_because, is_yes, judge_body, mean_logprob
from serve_app.streams import next_within
from serve_app.telemetry.metrics import CASCADE_ANSWERS, CASCADE_DISCARDED_TOKENS, Count, count_nothing


class Cascade:
    """A cascade over a group that has no members of its own: it gives the order, the group asks."""

    def __init__(
        self, config: CascadeConfig, group: Group, fallbacks: tuple[str, ...], count: Count = count_nothing
    ) -> None:
        self._config = config
        self._group = group
        self._fallbacks = [Choice(model, Why.FALLBACK) for model in fallbacks if model != config.large]
        self._count = count

    async def frames(self, ask: Ask, inner: Source) -> AsyncGenerator[bytes]:
        """The answer. Raises as `Group.frames`."""
        large = self._config.large
        why = hard_because(ask.body, self._config)
        if why is None and self._looks_at_answers:
            async with aclosing(self._small_or_large(ask, inner)) as frames:
                async for frame in frames:
                    yield frame
            return
        first = Choice(self._config.small, Why.SMALL) if why is None else Choice(large, why)
        rest = [] if first.model == large else [Choice(large, Why.FALLBACK)]
        self._count(CASCADE_ANSWERS, group=self._group.name, model=first.model, why=first.why.value)
        choices = [first, *rest, *self._others(first)]
        async with aclosing(self._group.first_of(choices, ask, inner)) as frames:
            async for frame in frames:
                yield frame

    @property
    def _looks_at_answers(self) -> bool:
        return self._config.min_mean_logprob is not None or self._config.judge is not None

    def _others(self, first: Choice) -> list[Choice]:
        return [choice for choice in self._fallbacks if choice.model != first.model]

    async def _small_or_large(self, ask: Ask, inner: Source) -> AsyncGenerator[bytes]:
        """The small model's answer if it will do, held back until that is known; else the large one's."""
        small = self._config.small
        wants_own = bool(ask.body.get("logprobs"))
        held = HeldAnswer(is_stream=ask.is_stream, strips_logprobs=not wants_own)
        kept: list[bytes] = []
        verdict: Why | None = None
        asked = ask if self._config.min_mean_logprob is None or wants_own else self._with_logprobs(ask)
        after = None
        is_sent = False
        try:
            chosen = [Choice(small, Why.SMALL)]
            async with aclosing(self._group.first_of(chosen, asked, inner)) as frames:
                async for frame in frames:
                    kept.append(held.take(frame))
                    if is_sent or self._is_early_enough(held):
                        is_sent = True
                        for one in kept:
                            yield one
                        kept.clear()
                    elif self._is_early_refusal(held):
                        break
                if not is_sent:
                    verdict = await self._verdict(held, ask, inner)
        except MantaError as exc:
            may_help = exc.status >= 429 or isinstance(exc, InputTooLong)
            if is_sent or ask.context.deadline.remaining_s() <= 0 or not may_help:
                raise
            verdict, after, kept = Why.FALLBACK, exc.code or exc.type, []
        if verdict is None:
            self._count(CASCADE_ANSWERS, group=self._group.name, model=small, why=Why.SMALL.value)
            for one in kept:
                yield one
            return
        async with aclosing(self._large(verdict, after, kept, held, ask, inner)) as frames:
            async for frame in frames:
                yield frame

    async def _large(
        self, why: Why, after: str | None, kept: list[bytes], held: HeldAnswer, ask: Ask, inner: Source
    ) -> AsyncGenerator[bytes]:
        """The large model's answer; where it has none, the small one's after all, if that was whole."""
        name = self._group.name
        num_prompt, num_answer = held.tokens()
        first = Choice(self._config.large, why)
        is_begun = False
        try:
            choices = [first, *self._others(first)]
            async with aclosing(self._group.first_of(choices, ask, inner, after)) as frames:
                async for frame in frames:
                    if not is_begun:
                        is_begun = True
                        ask.served.discarded.append((self._config.small, num_prompt, num_answer))
                        self._count(CASCADE_DISCARDED_TOKENS, float(num_prompt + num_answer), group=name)
                        self._count(CASCADE_ANSWERS, group=name, model=first.model, why=why.value)
                    yield frame
        except MantaError:
            is_whole = bool(kept) and self._config.decide_after_tokens is None
            if is_begun or not is_whole or ask.context.deadline.remaining_s() <= 0:
                raise
            self._group.tell(ask, Choice(self._config.small, Why.FALLBACK), why.value)
            for one in kept:
                yield one

    def _with_logprobs(self, ask: Ask) -> Ask:
        """The same, with the probabilities of the tokens asked for; nobody else's headers are told by it."""
        value: object = True if ask.kind == Endpoint.CHAT else 0
        return replace(ask, body={**ask.body, "logprobs": value})

    def _is_early_enough(self, held: HeldAnswer) -> bool:
        """Whether enough of the answer is there, and it is sure enough."""
        num, least = self._config.decide_after_tokens, self._config.min_mean_logprob
        if num is None or least is None or len(held.logprobs) < num:
            return False
        mean = mean_logprob(held.logprobs, num)
        return mean is not None and mean >= least

    def _is_early_refusal(self, held: HeldAnswer) -> bool:
        num = self._config.decide_after_tokens
        return num is not None and len(held.logprobs) >= num and not self._is_early_enough(held)

    async def _verdict(self, held: HeldAnswer, ask: Ask, inner: Source) -> Why | None:
        """Why the small model's answer will not do; None: it will."""
        least = self._config.min_mean_logprob
        if least is not None:
            mean = mean_logprob(held.logprobs, self._config.decide_after_tokens)
            # An answer without probabilities (nothing but calls, an engine that has none) shows nothing: not sure.
            if mean is None or mean < least:
                return Why.LOGPROBS
        if self._config.judge is not None and not await self._judged_good(held, ask, inner):
            return Why.JUDGE
        return None

    async def _judged_good(self, held: HeldAnswer, ask: Ask, inner: Source) -> bool:
        judge = self._config.judge
        assert judge is not None
        body = judge_body(judge, ask.body, held.text)
        until = Deadline.after(ask.context.deadline.within(self._config.judge_timeout_s))
        context = replace(ask.context, deadline=until)
        asked = Ask(judge, Endpoint.CHAT, body, context, is_stream=False, headers={}, served=Served())
        try:
            async with aclosing(inner(asked)) as frames:
                return is_yes(await next_within(frames, until, judge))
        except (MantaError, StopAsyncIteration):
            return False  # no verdict is not a good one; the large model answers
