"""Calls of a deployment's methods through its DeploymentHandle.

This is the seam between replicas. Ray's faults become errors of our tree here and nowhere else; a
caller that leaves cancels the call below it, which ends the work on the other side.

A stream takes one of two ways. One is Serve's own: a message for every item. The other holds a call open, for
Serve to choose the replica, count, cancel and report by, while the items come by the channel
(`serve_app.channel`); where there are many, they share calls (`serve_app.open_calls`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import Context, copy_context
from typing import Any, TypeVar

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.context import _set_request_context
from ray.serve.exceptions import BackPressureError, RayServeException, RequestCancelledError
from ray.serve.handle import DeploymentHandle

from serve_app.channel.asked import Asked
from serve_app.channel.connecting import ChannelUnavailable
from serve_app.channel.inbox import Inbox
from serve_app.channel.incoming import NotTaken, SenderSilent
from serve_app.channel.values import Values
from serve_app.errors import DeadlineExceeded, EngineFailed, MantaError, Overloaded, StreamLost, Unavailable
from serve_app.messages import CancelReason, RequestContext
from serve_app.open_calls import OpenCalls
from serve_app.streams import next_within

logger = logging.getLogger("manta.calls")

T = TypeVar("T")


class Caller:
    """Calls methods of one deployment.

    Args:
        handle: of the deployment.
        name: what errors call it.
        inbox: where the streams of this replica arrive; None: they take Serve's own way.
        own_calls_per_s: up to so many streams by the inbox each have a call that Serve counts.
    """

    def __init__(
        self,
        handle: DeploymentHandle[Any],
        name: str,
        inbox: Inbox | None = None,
        *,
        own_calls_per_s: float = math.inf,
    ) -> None:
        # Arguments are frozen types of modules that both sides have: cloudpickle would only be slower.
        self._handle = handle.options(request_serialization="pickle")
        self._streaming = handle.options(request_serialization="pickle", stream=True)
        # Each `handle.method` makes a new handle, which costs.
        self._methods: dict[tuple[bool, str], Any] = {}
        self._name = name
        self._inbox = inbox
        self._own_calls_per_s = own_calls_per_s
        self._open: dict[str, OpenCalls] = {}  # by method

    async def call(
        self, method: str, *args: Any, context: RequestContext | None = None, **kwargs: Any
    ) -> Any:
        """The method's result, within the context's deadline."""
        if context is not None:
            context.deadline.check(f"calling {self._name}")
        response = self._method(method).remote(*args, **kwargs)
        try:
            async with asyncio.timeout(None if context is None else context.deadline.remaining_s()):
                result = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        # Before TimeoutError, which the other side's own time-out is too once it has crossed.
        except (RayError, RayServeException, MantaError) as exc:
            raise _translated(exc, self._name) from exc
        except TimeoutError as exc:
            response.cancel()
            raise DeadlineExceeded(f"the request's time was over at: {self._name}", self._name) from exc
        if isinstance(result, MantaError):  # see serve_app.replica.returns_errors
            raise result
        return result

    async def document(self, method: str, *args: Any, context: RequestContext) -> bytes:
        """The bytes that the method returns, or that its twin NAME_by_channel sends."""
        document = await self._by_channel(method, args, context)
        if document is None:
            document = await self.call(method, *args, context, context=context)
        return document

    async def value(self, method: str, values: Values[T], *args: Any, context: RequestContext) -> T:
        """What the method returns, or what its twin NAME_by_channel sends of it.

        By the channel nothing is left behind in this process when the call is cancelled: gRPC's client keeps a
        kilobyte for each call of its own that was, for ever (docs/decisions/0034).
        """
        document = await self._by_channel(method, args, context)
        if document is None:
            value: T = await self.call(method, *args, context, context=context)
            return value
        try:
            return values.decode(document)
        except ValueError as exc:
            raise EngineFailed(f"{self._name} sent what cannot be read: {exc}") from exc

    async def stream(self, method: str, *args: Any, context: RequestContext) -> AsyncGenerator[bytes]:
        """The bytes that the method yields, or that its twin NAME_by_channel sends."""
        if self._inbox is not None:
            try:
                async with aclosing(self._channel_stream(self._inbox, method, args, context)) as items:
                    async for data in items:
                        yield data
            except ChannelUnavailable as exc:
                await self._go_without(self._inbox, exc)
            else:
                return
        async with aclosing(self._plain_stream(method, args, context)) as items:
            async for data in items:
                yield data

    async def check_health(self) -> None:
        """Raise what keeps a replica of the deployment from working. Wakes one that is scaled to zero."""
        await self.call("check_ready")

    def _method(self, name: str, *, streams: bool = False) -> Any:
        bound = self._methods.get((streams, name))
        if bound is None:
            bound = getattr(self._streaming if streams else self._handle, name)
            self._methods[streams, name] = bound
        return bound

    async def _by_channel(self, method: str, args: tuple[Any, ...], context: RequestContext) -> bytes | None:
        """All that the stream holds; None: there is no channel, and nothing was done."""
        if self._inbox is None:
            return None
        try:
            async with aclosing(self._channel_stream(self._inbox, method, args, context)) as pieces:
                return b"".join([piece async for piece in pieces])
        except ChannelUnavailable as exc:
            await self._go_without(self._inbox, exc)
            return None

    async def _go_without(self, inbox: Inbox, exc: ChannelUnavailable) -> None:
        """Before a call is made again by Serve's own way: the fault comes before anything was worked on."""
        logger.warning("%s: an answer takes Serve's own way: %s", self._name, exc)
        await inbox.listen_for_other_nodes()

    async def _plain_stream(
        self, method: str, args: tuple[Any, ...], context: RequestContext
    ) -> AsyncGenerator[bytes]:
        context.deadline.check(f"calling {self._name}")
        response = self._method(method, streams=True).remote(*args, context)
        is_over = False
        try:
            while True:
                item = await next_within(response, context.deadline, self._name)
                yield item
        except StopAsyncIteration:
            is_over = True
        except (RayError, RayServeException, MantaError) as exc:
            raise _translated(exc, self._name) from exc
        finally:
            if not is_over:
                response.cancel()

    async def _channel_stream(
        self, inbox: Inbox, method: str, args: tuple[Any, ...], context: RequestContext
    ) -> AsyncGenerator[bytes]:
        calls = self._open_calls(method, inbox.silence_s)
        loop = asyncio.get_running_loop()
        may_join = True
        while True:
            context.deadline.check(f"calling {self._name}")
            incoming, reply_to = await inbox.open()
            call = calls.ask(Asked(args, context, reply_to), incoming, may_join=may_join)
            alarm = loop.call_later(
                context.deadline.remaining_s(), incoming.give_up, self._too_late(), CancelReason.DEADLINE
            )
            try:
                async for data in incoming:
                    yield data
            except NotTaken:
                may_join = False
            except Overloaded:
                calls.avoid(call)
                raise
            except SenderSilent as exc:
                calls.leave_out(call)
                raise StreamLost(
                    f"{self._name}: the replica has not answered for {inbox.silence_s:g} s"
                ) from exc
            else:
                return
            finally:
                alarm.cancel()
                incoming.close(CancelReason.CALLER_LEFT)
                call.leave(incoming)

    def _open_calls(self, method: str, silence_s: float) -> OpenCalls:
        calls = self._open.get(method)
        if calls is None:
            bound = self._method(f"{method}_by_channel", streams=True)
            calls = OpenCalls(
                lambda asked: _apart().run(bound.remote, asked),
                lambda exc: _translated(exc, self._name),
                self._name,
                self._own_calls_per_s,
                silence_s,
            )
            self._open[method] = calls
        return calls

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"the request's time was over at: {self._name}", self._name)


def _apart() -> Context:
    """The context of a call that is not its request's alone: that of the request, but for Serve's number of it.

    By that number Serve cancels what a request has called when its client leaves, and with a call all of its streams,
    which may be other requests'. That a stream's own reader has left is told by the channel.
    """
    context = copy_context()
    context.run(_set_request_context, _internal_request_id=uuid.uuid4().hex)
    return context


def _translated(exc: Exception, name: str) -> MantaError:
    """The error of our tree that a fault of Ray or of the other side means."""
    cause = exc.cause if isinstance(exc, RayTaskError) else exc
    if isinstance(cause, MantaError):
        return cause
    if isinstance(exc, BackPressureError):
        return Overloaded(f"{name} has no free place in its queue", exc.retry_after_s or 1.0)
    if isinstance(exc, RequestCancelledError):
        return Unavailable(f"{name} cancelled the request")
    if isinstance(exc, RayTaskError):
        return EngineFailed(f"{name} failed: {cause.__class__.__name__}: {cause}")
    if isinstance(exc, RayActorError):
        return StreamLost(f"{name} is not there any more: {exc.__class__.__name__}")
    if not isinstance(exc, (RayError, RayServeException, RuntimeError)):
        logger.error("a call of %s failed in a way that is not Ray's", name, exc_info=exc)
    # A RuntimeError among them: what Serve makes of a call that broke before its replica had accepted it.
    return Unavailable(f"{name} is not there: {exc.__class__.__name__}")
