"""Calls that stay open while their streams run, and take more of them.

A call through a DeploymentHandle is what Serve chooses a replica for, counts, waits for when it drains the replica, and
reports faults by. It costs its two replicas a millisecond of CPU, and many turns of both their loops, before anything
is worked on. Where calls are few, each stream has its own. Where there are many, a new call is made now and then, and
the streams between two calls are asked for by the connection of one that runs, at the cost of a frame: Serve still
chooses the replicas, counts at least one call at each that works, and waits for it until the last of its streams ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from serve_app.channel.asked import Asked, encode
from serve_app.channel.incoming import Incoming, Returns, SenderSilent
from serve_app.channel.joining import Rate
from serve_app.errors import MantaError, StreamLost
from serve_app.routing.silence import Silence

logger = logging.getLogger("manta.calls")

# Between the end of a call and the end of its streams, or the other way round, when both sides are well.
END_TIMEOUT_S = 5.0
# Between two calls where there are many streams: so often Serve looks at all replicas, those among them that are new.
CALL_EVERY_S = 0.05
# A call takes others for so long, so that a replica that is drained or left by the router gets no new ones.
TAKES_FOR_S = 0.5


class OpenCalls:
    """Calls of one method of one deployment.

    Args:
        call: makes a call; gives Serve's response, a stream without items.
        translated: the error of our tree that a fault of a call means.
        name: what errors call the deployment.
        own_per_s: up to so many streams a second each have a call.
        silence_s: a replica that has not begun with a call so many seconds after it was sent there does not answer.
    """

    def __init__(
        self,
        call: Callable[[Asked], Any],
        translated: Callable[[Exception], MantaError],
        name: str,
        own_per_s: float,
        silence_s: float,
    ) -> None:
        self._own_per_s = own_per_s
        self._silence_s = silence_s
        self._call = call
        self._translated = translated
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._rate = Rate(self._loop.time())
        self._silence = Silence(self._loop.time)
        self._made_at = 0.0
        self._taking: deque[OpenCall] = deque()  # calls that are young, the oldest first
        self._running: set[asyncio.Task[None]] = set()

    def ask(self, asked: Asked, incoming: Incoming, *, may_join: bool = True) -> OpenCall:
        """Ask for a stream. Its reader calls `leave` at its end, whatever it is.

        Args:
            may_join: not with a call of its own, where there are many. The stream then fails with NotTaken if that
                call was over when it was asked.
        """
        now = self._loop.time()
        self._rate.count()
        while self._taking and now - self._taking[0].made_at > TAKES_FOR_S:
            self._taking.popleft()
        if may_join and self._rate.per_s(now) >= self._own_per_s and now - self._made_at < CALL_EVERY_S:
            call = min((one for one in self._taking if one.can_take), key=_num_streams, default=None)
            if call is not None and call.take(asked, incoming):
                return call
        return self._make(asked, incoming, now)

    def avoid(self, call: OpenCall) -> None:
        """Its replica is full: nothing joins a call there before Serve has chosen it again."""
        if call.link is not None:
            self._taking = deque(one for one in self._taking if one.link is not call.link)

    def leave_out(self, call: OpenCall) -> None:
        """Its replica does not answer: calls go to others until it does, or is replaced."""
        if call.replica is not None and not self._silence.holds(call.replica):
            logger.warning(
                "%s: replica %s is left out: it has not answered for %g s",
                self._name, call.replica, self._silence_s,
            )  # fmt: skip
            self._silence.found(call.replica)

    def _make(self, asked: Asked, incoming: Incoming, now: float) -> OpenCall:
        call = OpenCall(incoming, now, self._silence, self._silence_s, self._loop)
        asked = replace(asked, route=call)
        self._made_at = now
        self._taking.append(call)
        call.running = asyncio.create_task(self._run(call, asked))
        self._running.add(call.running)
        call.running.add_done_callback(self._running.discard)
        return call

    async def _run(self, call: OpenCall, asked: Asked) -> None:
        """Make the call and wait for its end, which has no items; its faults are its streams'."""
        response = None
        try:
            response = self._call(asked)
            await anext(response)
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            if response is not None:
                response.cancel()
            call.fail(StreamLost(f"the call of {self._name} was cancelled"))  # if by us, it has none any more
            raise
        except Exception as exc:  # noqa: BLE001 (told to all that wait for it)
            call.fail(self._translated(exc))
            return
        if not call.is_over:
            # Its last frames are still on their way, by another connection.
            await asyncio.sleep(END_TIMEOUT_S)
            call.fail(StreamLost(f"{self._name} ended its call without ending its stream"))


class OpenCall:
    """One call and its streams: that which it was made for, and those that it took. A Route for its router."""

    __slots__ = (
        "_first", "_id", "_loop", "_not_begun", "_silence", "_silence_s", "_streams", "made_at", "replica", "running",
    )  # fmt: skip

    def __init__(
        self,
        first: Incoming,
        made_at: float,
        silence: Silence,
        silence_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.made_at = made_at
        self.replica: str | None = None  # that it was sent to
        self.running: asyncio.Task[None] | None = None
        self._silence = silence
        self._silence_s = silence_s
        self._loop = loop
        self._not_begun: asyncio.TimerHandle | None = None
        self._first = first
        self._id = first.id
        self._streams = {first}  # those that have a reader

    @property
    def link(self) -> Returns | None:
        """The connection to its replica; None: that has not begun yet."""
        return self._first.link

    @property
    def can_take(self) -> bool:
        """Its replica has begun with it and, as far as is known here, not ended."""
        return self.link is not None and self.link.is_open and not self.is_over

    @property
    def num_streams(self) -> int:
        """Of ours, at its replica."""
        return 0 if self.link is None else self.link.num_streams

    @property
    def is_over(self) -> bool:
        return all(incoming.is_over for incoming in self._streams)

    # -------- for the router, which in Serve's defaults has a thread of its own

    def is_silent(self, replica: str) -> bool:
        return self._silence.holds(replica)

    def goes_to(self, replica: str | None) -> None:
        if asyncio.get_running_loop() is self._loop:
            self._sent_to(replica)
        else:
            self._loop.call_soon_threadsafe(self._sent_to, replica)

    # --------

    def take(self, asked: Asked, incoming: Incoming) -> bool:
        """Ask for one stream more; False if it cannot be asked for without a call of its own."""
        payload = encode(asked)
        if payload is None or self.link is None:
            return False
        self.link.ask(incoming, self._id, payload)
        self._streams.add(incoming)
        return True

    def fail(self, error: Exception) -> None:
        for incoming in self._streams:
            incoming.fail(error)

    def leave(self, incoming: Incoming) -> None:
        """The stream has no reader any more. Without any the call ends soon."""
        self._streams.discard(incoming)
        if self._first.has_begun and self.replica is not None:
            self._silence.broken(self.replica, self.made_at)
        if self._not_begun is not None and (self._first.has_begun or not self._streams):
            self._not_begun.cancel()
        running = self.running
        if self._streams or running is None or running.done():
            return
        if not self._first.has_begun:
            running.cancel()  # nobody to tell by the channel; the call itself is cancelled
        else:
            at_last = asyncio.get_running_loop().call_later(END_TIMEOUT_S, running.cancel)
            running.add_done_callback(lambda _: at_last.cancel())

    def _sent_to(self, replica: str | None) -> None:
        self.replica = replica
        if self._not_begun is not None:
            self._not_begun.cancel()
        if replica is not None and self._streams:
            self._not_begun = self._loop.call_later(self._silence_s, self._look_if_begun)

    def _look_if_begun(self) -> None:
        if not self._first.has_begun:
            self.fail(SenderSilent())


def _num_streams(call: OpenCall) -> int:
    return call.num_streams
