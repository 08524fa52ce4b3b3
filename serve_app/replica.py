"""What every replica has, whatever it serves: a queue, its ends of the stream channel, its health, its end.

The only place that asks Ray where this replica runs.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray

from configs.schema import ScalingConfig, StreamsConfig
from serve_app import inner_port
from serve_app.admission.admission import Admission
from serve_app.admission.base import QueueLimits
from serve_app.admission.shares import Turn
from serve_app.channel.asked import Asked
from serve_app.channel.inbox import Inbox
from serve_app.channel.joining import WAKE_UP_S
from serve_app.channel.outbox import Outbox, StreamReset
from serve_app.draining import Draining
from serve_app.errors import DeadlineExceeded, MantaError, StreamLost
from serve_app.health.replica import Check, ReplicaHealth, nothing_to_check
from serve_app.messages import CancelReason, RequestContext
from serve_app.streams import NO_ITEMS
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.metrics import (
    CHANNEL_LINKS,
    OLDEST_QUEUED,
    REQUESTS_CANCELLED,
    REQUESTS_QUEUED,
    REQUESTS_REFUSED,
    REQUESTS_RUNNING,
    STREAMS_RECEIVED,
    STREAMS_SENT,
)
from serve_app.telemetry.pulse import Pulse, Read, Reading

logger = logging.getLogger("manta.replica")

P = ParamSpec("P")
T = TypeVar("T")

# Before Serve kills a replica whose grace time is over: time for its streams' last words to arrive.
LAST_WORDS_S = 1.0
# New objects before a collection of the youngest, and of these before one of the older. A request that runs while the
# youngest are collected is among the older from then on, and looked at again with them: thus the first is large. What
# it leaves in cycles waits for the second or the third, which are to come within minutes in a replica that has little
# to do: thus they are small.
_GC_THRESHOLDS = (20_000, 4, 10)


def returns_errors(
    method: Callable[Concatenate[Any, P], Awaitable[T]],
) -> Callable[Concatenate[Any, P], Awaitable[T | MantaError]]:
    """A deployment's method that returns errors of our tree instead of raising them; `Caller.call` raises them.

    Serve writes a traceback for whatever a method raises, also for a client's own fault and for every
    refusal of an overload.
    """

    @wraps(method)
    async def told(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T | MantaError:
        try:
            return await method(self, *args, **kwargs)
        except MantaError as exc:
            return exc

    return told


def without_items(
    method: Callable[[Any, Asked], Awaitable[None]],
) -> Callable[[Any, Asked], AsyncIterator[bytes]]:
    """A deployment's method that sends its items by the channel, as a stream that has none.

    It must be a stream all the same: Serve counts a call as queued at its caller until it streams or ends.
    """

    @wraps(method)
    async def stream(self: Any, asked: Asked, /) -> AsyncIterator[bytes]:
        await method(self, asked)
        for item in NO_ITEMS:
            yield item

    return stream


def settle_in() -> None:
    """What a replica does once, when it is made: listen on its node's address alone, and collect less garbage."""
    if ray.is_initialized():
        inner_port.narrow(_node_address())
    _settle_memory()


def _settle_memory() -> None:
    """Take what is loaded by now out of the garbage collector's sight, and let it run less often.

    A replica has some hundred thousand objects that live as long as it does. Going through them again and again
    was about a tenth of its work for requests, and each time all of its streams stood still for it.
    """
    gc.collect()
    gc.freeze()
    # What is frozen counts as old until the next full one, and that waits until there is a quarter as much.
    gc.collect()
    gc.set_threshold(*_GC_THRESHOLDS)


def _unknown(*_: object) -> int:
    return 0


def open_inbox(config: StreamsConfig, *, wake_up_s: float = WAKE_UP_S) -> Inbox | None:
    """Where this replica's streams arrive; None if they take Serve's own way. `wake_up_s` as of `Inbox`."""
    if config.transport == "plain":
        return None
    silence_s = config.silence_timeout_s
    return Inbox(_node_id(), _node_address(), silence_s=silence_s, wake_up_s=wake_up_s)


class Replica:
    """One replica of a deployment that works for callers. Made in the last line of its constructor.

    Args:
        name: what errors and metrics call the deployment.
        scaling: how much it takes at once, and how it is watched.
        check: of its health, as ReplicaHealth wants it.
        draining: tells when its grace time is over; None: as Serve has it.
        inbox: where streams arrive for which it is the caller, to tell of them.
        holds: what the deployment itself holds, told with the rest.
    """

    def __init__(
        self,
        name: str,
        scaling: ScalingConfig,
        check: Check = nothing_to_check,
        draining: Draining | None = None,
        inbox: Inbox | None = None,
        holds: Read = tuple,
    ) -> None:
        self._name = name
        self._grace_s = scaling.graceful_shutdown_timeout_s
        limits = QueueLimits(
            scaling.max_ongoing_requests, scaling.max_queued_requests, scaling.max_queue_wait_s
        )
        self._admission = Admission(name, limits)
        self._outbox = Outbox(_node_id())
        self._instruments = Instruments()
        self._draining = draining or Draining()
        self._ending = asyncio.create_task(self._end_streams())
        self._health = ReplicaHealth(name, scaling.health, check)
        self._inbox = inbox
        self._holds = holds
        self._pulse = Pulse(name, self._instruments.put, self._held)
        settle_in()

    @asynccontextmanager
    async def working(
        self, context: RequestContext, num_tokens: Callable[[], int] = _unknown
    ) -> AsyncIterator[None]:
        """A slot for the length of a block. What stops the block from outside is counted.

        Args:
            num_tokens: what there is to read, about; asked only of a call that has to wait.

        Raises:
            Overloaded, DeadlineExceeded, Unavailable: there is no slot; nothing was done.
        """
        with self._counting():
            turn = await self._admit(context, num_tokens)
            try:
                yield
            finally:
                self._admission.release(turn)

    async def stream(
        self,
        context: RequestContext,
        make: Callable[[], AsyncIterator[bytes]],
        num_tokens: Callable[[], int] = _unknown,
    ) -> AsyncGenerator[bytes]:
        """The items of `make()`, with a slot. Arguments and errors as `working`."""
        with self._counting():
            async with aclosing(self._slotted(context, make, num_tokens)) as items:
                async for item in items:
                    yield item

    async def send(
        self,
        asked: Asked,
        make: Callable[..., AsyncIterator[bytes]],
        num_tokens: Callable[..., int] = _unknown,
    ) -> None:
        """Send what is asked for to its caller, and what that asks for meanwhile, each with a slot.

        The caller is told of every error of our tree.

        Args:
            make: makes a stream of the arguments that were asked with, and the context.
            num_tokens: what there is to read, of the same arguments, about; asked only of a stream that has to wait.

        Raises:
            ChannelUnavailable: the caller cannot be reached; nothing was done.
        """
        await self._outbox.send_call(asked, lambda one: self._send(one, make, num_tokens))

    def autoscaling_stats(self) -> dict[str, float]:
        """What the policy `work` wants to know: see cluster/policies."""
        state = self._admission.state()
        return {
            "running": state.num_running,
            "queued": sum(state.num_queued.values()),
            "queued_tokens": state.num_queued_tokens,
            "oldest_queued_s": state.oldest_queued_s or 0.0,
            "overloaded": float(state.is_overload),
        }

    async def check_health(self) -> None:
        """For Serve, which replaces this replica if it raises."""
        await self._health.check()

    async def close(self) -> None:
        self._health.close()
        self._admission.close()
        self._ending.cancel()
        with suppress(asyncio.CancelledError):
            await self._ending
        await self._draining.close()
        await self._pulse.close()
        await self._outbox.close()

    # --------

    async def _send(
        self, asked: Asked, make: Callable[..., AsyncIterator[bytes]], num_tokens: Callable[..., int]
    ) -> None:
        args, context = asked.args, asked.context
        items = self._slotted(context, lambda: make(*args, context), lambda: num_tokens(*args, context))
        try:
            error = await self._outbox.send_all(items, asked.reply_to)
        except StreamReset as exc:
            self._count_cancelled(exc.reason)
        else:
            if isinstance(error, DeadlineExceeded):
                self._count_cancelled(CancelReason.DEADLINE)

    def _held(self) -> Iterable[Reading]:
        yield from self._holds()
        state = self._admission.state()
        outbox, inbox = self._outbox, self._inbox
        yield REQUESTS_RUNNING, state.num_running
        yield REQUESTS_QUEUED, sum(state.num_queued.values())
        yield OLDEST_QUEUED, state.oldest_queued_s or 0.0
        yield STREAMS_SENT, outbox.num_streams
        yield STREAMS_RECEIVED, inbox.num_streams if inbox else 0
        yield CHANNEL_LINKS, outbox.num_links + (inbox.num_links if inbox else 0)

    async def _slotted(
        self, context: RequestContext, make: Callable[[], AsyncIterator[bytes]], num_tokens: Callable[[], int]
    ) -> AsyncGenerator[bytes]:
        turn = await self._admit(context, num_tokens)
        try:
            async with aclosing(_closable(make())) as items:
                async for item in items:
                    yield item
        finally:
            self._admission.release(turn)

    async def _admit(self, context: RequestContext, num_tokens: Callable[[], int]) -> Turn | None:
        admission = self._admission
        try:
            return await admission.acquire(context, 0 if admission.has_free_slot else num_tokens())
        except MantaError as exc:
            self._instruments.count(REQUESTS_REFUSED, name=self._name, reason=exc.code or "")
            raise

    async def _end_streams(self) -> None:
        """When this replica is drained and its grace time all but over: say why the streams end."""
        await self._draining.grace_over(LAST_WORDS_S)
        error = StreamLost(
            f"this replica of {self._name} is being replaced, and the answer took longer than the "
            f"{self._grace_s:g} s that it has for that"
        )
        num_ended = self._outbox.end_all(error)
        logger.warning("%d streams were ended: %s", num_ended, error.message)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self._count_cancelled(CancelReason.CALLER_LEFT)
            raise
        except DeadlineExceeded:
            self._count_cancelled(CancelReason.DEADLINE)
            raise

    def _count_cancelled(self, reason: str) -> None:
        self._instruments.count(REQUESTS_CANCELLED, name=self._name, reason=reason)


def _closable(items: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Streams of engines are generators, or close like one (`serve_app.engines.base`)."""
    assert hasattr(items, "aclose")
    return items  # type: ignore[return-value]


def _node_id() -> str:
    node_id: str = ray.get_runtime_context().get_node_id()
    return node_id


def _node_address() -> str:
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address
