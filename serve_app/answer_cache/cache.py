"""The cache as a step before the models: what was answered is given again, and nothing is computed twice at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from configs.schema import AnswerCacheConfig
from serve_app.answer_cache.base import AnswerStore, Entry, Vector
from serve_app.answer_cache.canonical import Question, is_deterministic, key_of, question_of
from serve_app.answer_cache.flights import Flight, Flights, LeftAlone
from serve_app.answer_cache.questions import ask_differently
from serve_app.answer_cache.wishes import CACHE, Wishes, read_wishes
from serve_app.answer_cache.worth import is_worth_keeping
from serve_app.errors import DeadlineExceeded, MantaError
from serve_app.front.base import Ask, Source
from serve_app.messages import RequestContext
from serve_app.telemetry.metrics import ANSWER_CACHE_ERRORS, ANSWER_CACHE_REQUESTS, Count, count_nothing

MODEL = "x-manta-model"
HIT, SEMANTIC, MISS, SHARED, BYPASS = "hit", "semantic", "miss", "shared", "bypass"
# Near questions that are looked at: the nearest may differ in a number.
_NUM_CANDIDATES = 4

Embed = Callable[[str, RequestContext], Awaitable[Vector]]
Generation = Callable[[RequestContext], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one request uses the cache."""

    key: str
    wishes: Wishes
    question: Question | None  # None: only the same request will do
    generation: str
    vector: Vector | None = None


class AnswerCache:
    """A Step.

    Args:
        agents: names of agents, whose answers also depend on their knowledge base.
        embed: a question's vector, L2-normalised.
        generation: of a tenant's knowledge base.
        clock: wall-clock seconds.
    """

    def __init__(
        self,
        config: AnswerCacheConfig,
        store: AnswerStore,
        *,
        agents: Collection[str] = (),
        embed: Embed | None = None,
        generation: Generation | None = None,
        count: Count = count_nothing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._store = store
        self._agents = frozenset(agents)
        self._embed = embed
        self._generation = generation
        self._count = count
        self._clock = clock
        self._flights = Flights()

    def concerns(self, ask: Ask) -> bool:
        return not ask.is_once

    async def frames(self, ask: Ask, inner: Source) -> AsyncGenerator[bytes]:
        """The answer, kept or new. Raises as `inner`, and BadRequest for a wish that is not understood."""
        plan = await self._plan(ask)
        if plan is None:
            self._tell(ask, BYPASS)
            source = inner(ask)
        elif (entry := await self._kept(plan.key, plan)) is not None:
            self._tell(ask, HIT)
            source = self._replay(ask, entry)
        else:
            plan, near = await self._near(ask, plan)
            source = self._computed(ask, plan, inner) if near is None else self._replay(ask, near)
        async with aclosing(source) as frames:
            async for frame in frames:
                yield frame

    async def close(self) -> None:
        await self._store.close()

    # ---------------------------------------------------------------- before

    async def _plan(self, ask: Ask) -> _Plan | None:
        """None: the request has nothing to do with the cache."""
        wishes = read_wishes(ask.headers)
        is_agent = ask.name in self._agents
        # A session's answer depends on what was said before, and is written down when it is given.
        if wishes.mode == "off" or ask.body.get("session") is not None:
            return None
        if (
            self._config.only_deterministic
            and wishes.mode is None
            and not self._is_steady(ask, is_agent=is_agent)
        ):
            return None
        generation = ""
        if is_agent:
            known = await self._generation_of(ask.context)
            if known is None:
                return None
            generation = known
        semantic, question = self._config.semantic, None
        if semantic is not None and (
            wishes.mode == SEMANTIC or (semantic.by_default and wishes.mode is None)
        ):
            question = question_of(ask, semantic.max_question_chars, generation)
        return _Plan(key_of(ask, generation), wishes, question, generation)

    def _is_steady(self, ask: Ask, *, is_agent: bool) -> bool:
        """Whether asking again would give the same answer. An agent's is made at temperature 0 unless it says so."""
        return is_deterministic(ask.body) or (is_agent and not ask.body.get("temperature"))

    async def _generation_of(self, context: RequestContext) -> str | None:
        if self._generation is None:
            return None
        try:
            return await self._generation(context)
        except MantaError as exc:
            self._failed(exc)
            return None

    async def _kept(self, key: str, plan: _Plan) -> Entry | None:
        if not plan.wishes.reads:
            return None
        try:
            entry = await self._store.get(key)
        except MantaError as exc:
            self._failed(exc)
            return None
        max_age_s = plan.wishes.max_age_s
        is_old = entry is not None and max_age_s is not None and self._clock() - entry.made_at_s > max_age_s
        return None if is_old else entry

    async def _near(self, ask: Ask, plan: _Plan) -> tuple[_Plan, Entry | None]:
        """The plan with the question's vector, and the answer to a question that means the same."""
        semantic, question = self._config.semantic, plan.question
        if question is None or semantic is None or self._embed is None or self._flights.get(plan.key):
            return plan, None
        try:
            async with asyncio.timeout(ask.context.deadline.within(semantic.timeout_s)):
                vector = await self._embed(question.text, ask.context)
            plan = replace(plan, vector=vector)
            candidates = await self._store.nearest(question.scope, vector, _NUM_CANDIDATES)
        except (MantaError, TimeoutError) as exc:
            self._failed(exc)
            return plan, None
        for candidate in candidates:
            if candidate.cosine < semantic.threshold:
                break
            entry = await self._kept(candidate.key, plan)
            if entry is not None and not ask_differently(question.text, entry.question):
                self._tell(ask, SEMANTIC, f"; score={min(candidate.cosine, 1.0):.3f}")
                return plan, entry
        return plan, None

    # ---------------------------------------------------------------- the answer

    async def _replay(self, ask: Ask, entry: Entry) -> AsyncGenerator[bytes]:
        ask.served.is_free = True
        if entry.model is not None:
            ask.served.model = ask.told[MODEL] = entry.model
        for frame in entry.frames:
            yield frame

    def _computed(self, ask: Ask, plan: _Plan, inner: Source) -> AsyncGenerator[bytes]:
        """The answer of whoever asked the same first, or of the model. To be read at once: the work has begun."""
        flight = self._flights.get(plan.key)
        if flight is not None and plan.wishes.reads:
            return self._shared(flight, ask, plan, inner)
        self._tell(ask, MISS)
        # An agent's answer may be read by the task alone that began it.
        may_lead = ask.is_stream and ask.name not in self._agents
        keep = partial(self._keep, plan=plan)
        return self._flights.start(plan.key, ask, inner(ask), keep, may_lead=may_lead).follow(leads=True)

    async def _shared(self, flight: Flight, ask: Ask, plan: _Plan, inner: Source) -> AsyncGenerator[bytes]:
        is_begun = False
        try:
            async with aclosing(flight.follow()) as frames:
                async for frame in frames:
                    if not is_begun:
                        is_begun = True
                        self._tell_shared(ask, flight)
                    yield frame
        except (DeadlineExceeded, LeftAlone) as exc:
            # That was the time of whoever asked first.
            if is_begun or (isinstance(exc, DeadlineExceeded) and ask.context.deadline.remaining_s() <= 0):
                raise
            async with aclosing(self._computed(ask, plan, inner)) as frames:
                async for frame in frames:
                    yield frame

    async def _keep(self, flight: Flight, plan: _Plan) -> None:
        ask = flight.ask
        is_agent = ask.name in self._agents
        frames = tuple(
            frame for frame in flight.frames if not frame.startswith(b":")
        )  # comments are of their time
        text = "" if plan.question is None else plan.question.text
        entry = Entry(frames, self._clock(), ask.served.model, text)
        if entry.num_bytes > self._config.max_answer_bytes:
            return
        if not is_worth_keeping(frames, is_stream=ask.is_stream, is_agent=is_agent):
            return
        if is_agent and await self._generation_of(ask.context) != plan.generation:
            return  # the documents have changed while it was made
        scope = None if plan.question is None or plan.vector is None else plan.question.scope
        try:
            await self._store.put(plan.key, entry, self._config.ttl_s, scope, plan.vector)
        except MantaError as exc:
            self._failed(exc)

    # ---------------------------------------------------------------- what is told

    def _tell(self, ask: Ask, result: str, more: str = "") -> None:
        ask.told[CACHE] = result + more
        self._count(ANSWER_CACHE_REQUESTS, model=ask.name, result=result)

    def _tell_shared(self, ask: Ask, flight: Flight) -> None:
        ask.told.update(flight.ask.told)
        ask.told[CACHE] = f"{MISS}; {SHARED}"
        ask.served.is_free = True
        ask.served.model = flight.ask.served.model
        self._count(ANSWER_CACHE_REQUESTS, model=ask.name, result=SHARED)

    def _failed(self, exc: Exception) -> None:
        """A cache that is gone costs a computation, and never an answer."""
        self._count(ANSWER_CACHE_ERRORS, reason=getattr(exc, "code", None) or exc.__class__.__name__)
