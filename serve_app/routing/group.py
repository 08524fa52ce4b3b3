"""A group's requests: one member after the other, until one has sent its first byte or none is left."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from configs.schema import GroupConfig, MemberConfig
from serve_app.admission.retries import RetryBudget
from serve_app.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineFailed,
    InputTooLong,
    MantaError,
    Overloaded,
    Unavailable,
)
from serve_app.front.base import Ask, Source
from serve_app.messages import Deadline
from serve_app.routing.base import Choice, Why
from serve_app.routing.beginnings import beginnings
from serve_app.routing.choose import order
from serve_app.routing.condition import Condition
from serve_app.streams import next_within
from serve_app.telemetry.metrics import ROUTE_FALLBACKS, ROUTED_REQUESTS, Count, count_nothing

MODEL_ID = "x-model-id"
MODEL, ROUTE = "x-manta-model", "x-manta-route"
# What another model may do better. Everything else would be the same there.
_WORTH_ANOTHER = (InputTooLong, Overloaded, EngineFailed, Unavailable, DeadlineExceeded)


class Group:
    """One group, in one replica of the ingress.

    Args:
        contexts: model -> tokens that it takes, where that is known. A model that is not a key is not served here.
        rng, clock: random numbers, and seconds that never go back.
    """

    def __init__(
        self,
        config: GroupConfig,
        contexts: Mapping[str, int | None],
        count: Count = count_nothing,
        *,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = config.name
        self._config = config
        self._contexts = contexts
        self._count = count
        self._rng = rng or random.Random()  # noqa: S311 (who answers is no secret)
        self._clock = clock
        self._members = [member for member in config.members if member.model in contexts]
        self._fallbacks = [model for model in config.fallbacks if model in contexts]
        self._conditions = {
            member.model: Condition(member, config.max_failures, config.cooldown_s)
            for member in (*self._members, *(MemberConfig(model=one) for one in config.models()))
        }
        # Of members that are full, others are asked only within a budget: no retry may multiply an overload.
        self._refusals = RetryBudget(clock=clock)

    def frames(self, ask: Ask, inner: Source) -> AsyncGenerator[bytes]:
        """The answer of the best member that gives one.

        Raises:
            BadRequest: `x-model-id` names no model of this group.
            MantaError: what the last model said that was asked.
        """
        return self.first_of(self.choices(ask), ask, inner)

    def choices(self, ask: Ask) -> list[Choice]:
        """Whom to ask, best first."""
        asked = ask.headers.get(MODEL_ID)
        if asked is not None:
            return [Choice(self._require(asked), Why.ASKED)]
        now_s = self._clock()
        members = [
            self._conditions[member.model].member(now_s, is_stream=ask.is_stream) for member in self._members
        ]
        prompt = beginnings(ask.body, ask.context, self._config.affinity)
        key = None if prompt is None else prompt.home.hex()
        return order(members, self._config.choice, self._rng, key=key, fallbacks=self._fallbacks)

    async def first_of(
        self, choices: Sequence[Choice], ask: Ask, inner: Source, after: str | None = None
    ) -> AsyncGenerator[bytes]:
        """The first answer of these, with its headers told.

        Args:
            after: why others were passed over before, for the headers.
        """
        self._refusals.request()
        left = list(choices)
        while left:
            choice, left = left[0], left[1:]
            is_begun = False
            try:
                async with aclosing(self._attempt(choice, ask, inner, has_next=bool(left))) as frames:
                    async for frame in frames:
                        if not is_begun:
                            is_begun = True
                            self.tell(ask, choice, after)
                        yield frame
            except _WORTH_ANOTHER as exc:
                left = [] if is_begun else self._worth_asking(left, choice, ask, exc)
                if not left:
                    raise
                after = exc.code or exc.type
                self._count(ROUTE_FALLBACKS, group=self.name, model=choice.model, reason=after)
            else:
                return

    async def _attempt(
        self, choice: Choice, ask: Ask, inner: Source, *, has_next: bool
    ) -> AsyncGenerator[bytes]:
        """One model's answer, with what it shows of its condition noted."""
        ask.context.deadline.check(self.name)
        condition, began_s = self._conditions[choice.model], self._clock()
        condition.begin(began_s)
        try:
            async with aclosing(inner(ask.of(choice.model))) as frames:
                yield await next_within(frames, self._first_byte_by(ask, has_next=has_next), choice.model)
                now_s = self._clock()
                condition.answered(now_s, now_s - began_s, is_stream=ask.is_stream)
                async for frame in frames:
                    yield frame
        except StopAsyncIteration as exc:
            condition.failed(self._clock())
            raise EngineFailed(f"{choice.model} ended without an answer") from exc
        except (EngineFailed, Unavailable, DeadlineExceeded) as exc:
            if not isinstance(exc, DeadlineExceeded) or ask.context.deadline.remaining_s() > 0:
                condition.failed(self._clock())
            raise
        finally:
            condition.end()

    def _first_byte_by(self, ask: Ask, *, has_next: bool) -> Deadline:
        timeout_s = self._config.first_byte_timeout_s
        if timeout_s is None or not has_next or ask.context.deadline.remaining_s() <= timeout_s:
            return ask.context.deadline
        return Deadline.after(timeout_s)

    def _worth_asking(self, left: list[Choice], failed: Choice, ask: Ask, exc: MantaError) -> list[Choice]:
        """Who of those that are left may do better than the one that failed."""
        if ask.context.deadline.remaining_s() <= 0:
            return []
        if isinstance(exc, InputTooLong):
            took = self._contexts[failed.model]
            return [one for one in left if took is None or (self._contexts[one.model] or took + 1) > took]
        if isinstance(exc, Overloaded) and not self._refusals.try_retry():
            return []
        return left

    def tell(self, ask: Ask, choice: Choice, after: str | None) -> None:
        """Say in the answer's headers, and to who counts, that this model answers."""
        ask.served.model = choice.model
        ask.told[MODEL] = choice.model
        ask.told[ROUTE] = f"{self.name}; {choice.why}" + (f"; after={after}" if after else "")
        self._count(ROUTED_REQUESTS, group=self.name, model=choice.model, why=choice.why.value)

    def _require(self, model: str) -> str:
        served = [one for one in self._config.models() if one in self._contexts]
        if model not in served:
            raise BadRequest(
                f"{MODEL_ID} names {model!r:.80}, which is no model of {self.name}: {', '.join(served)}",
                MODEL_ID,
            )
        return model
