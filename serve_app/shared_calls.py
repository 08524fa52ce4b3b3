"""Streams that are asked for at about the same time share a call.

A call through a DeploymentHandle costs its two replicas about a millisecond of CPU before anything is worked on.
Where there are few, each stream has its own, at once, and Serve chooses a replica for it. Where there are many they
wait a few milliseconds for each other (`serve_app.channel.joining`), and one call asks for all of them. It stays open
while any of them runs, so that Serve waits for it when it drains the replica, and its faults are theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from serve_app.channel.asked import Asked
from serve_app.channel.incoming import Incoming
from serve_app.channel.joining import Rate, call_window_s
from serve_app.errors import MantaError, StreamLost

# Between the end of a call and the end of its streams, or the other way round, when both sides are well.
END_TIMEOUT_S = 5.0
# What is lost together when a replica refuses a call, and how unevenly two replicas may be loaded by one choice.
MAX_TOGETHER = 16


class SharedCalls:
    """Calls of one method of one deployment.

    Args:
        call: makes a call; gives Serve's response, a stream without items.
        translated: the error of our tree that a fault of a call means.
        name: what errors call the deployment.
    """

    def __init__(
        self,
        call: Callable[[list[Asked]], Any],
        translated: Callable[[Exception], MantaError],
        name: str,
    ) -> None:
        self._call = call
        self._translated = translated
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._rate = Rate(self._loop.time())
        self._made_at = 0.0
        self._next: SharedCall | None = None  # that waits for others to join
        self._running: set[asyncio.Task[None]] = set()

    def ask(self, asked: Asked, incoming: Incoming) -> SharedCall:
        """Ask for a stream, soon. Its reader calls `leave` at its end, whatever it is."""
        call = self._next or self._begin()
        call.join(asked, incoming)
        self._rate.count()
        if call.num_streams >= MAX_TOGETHER or self._due_s() <= self._loop.time():
            self._make(call)
        return call

    def _begin(self) -> SharedCall:
        call = self._next = SharedCall()
        due_s = self._due_s()
        if due_s > self._loop.time():
            self._loop.call_at(due_s, self._make, call)
        return call

    def _due_s(self) -> float:
        """When the next call may be made."""
        return self._made_at + call_window_s(self._rate.per_s(self._loop.time()))

    def _make(self, call: SharedCall) -> None:
        if self._next is not call:
            return  # it was full before its time
        self._next = None
        if call.num_streams:
            self._made_at = self._loop.time()
            running = asyncio.create_task(self._run(call))
            self._running.add(running)
            running.add_done_callback(self._running.discard)
            call.runs_as(running)

    async def _run(self, call: SharedCall) -> None:
        """Make the call and wait for its end, which has no items; its faults are its streams'."""
        response = None
        try:
            response = self._call(call.asked())
            await anext(response)
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            if response is not None:
                response.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 (told to all that wait for it)
            call.fail(self._translated(exc))
            return
        if not call.is_over:
            # Its last frames are still on their way, by another connection.
            await asyncio.sleep(END_TIMEOUT_S)
            call.fail(StreamLost(f"{self._name} ended its call without ending its stream"))


class SharedCall:
    """One call and the streams that it asks for."""

    __slots__ = ("_has_begun", "_running", "_streams")

    def __init__(self) -> None:
        self._streams: dict[Incoming, Asked] = {}  # those that have a reader
        self._has_begun = False  # the replica has it
        self._running: asyncio.Task[None] | None = None

    @property
    def num_streams(self) -> int:
        return len(self._streams)

    @property
    def is_over(self) -> bool:
        return all(incoming.is_over for incoming in self._streams)

    def asked(self) -> list[Asked]:
        return list(self._streams.values())

    def join(self, asked: Asked, incoming: Incoming) -> None:
        self._streams[incoming] = asked

    def runs_as(self, running: asyncio.Task[None]) -> None:
        self._running = running

    def fail(self, error: MantaError) -> None:
        for incoming in self._streams:
            incoming.fail(error)

    def leave(self, incoming: Incoming) -> None:
        """The stream has no reader any more. Without any the call is not made, or ends soon."""
        self._streams.pop(incoming)
        self._has_begun = self._has_begun or incoming.has_begun
        running = self._running
        if self._streams or running is None or running.done():
            return
        if not self._has_begun:
            running.cancel()  # nobody to tell by the channel; the call itself is cancelled
        else:
            at_last = asyncio.get_running_loop().call_later(END_TIMEOUT_S, running.cancel)
            running.add_done_callback(lambda _: at_last.cancel())
