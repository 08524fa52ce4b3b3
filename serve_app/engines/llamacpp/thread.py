"""A thread that owns an engine: jobs go in from event loops, results go back to them.

Knows nothing of llama.cpp. What belongs to the engine is touched by this thread only. An engine that hangs is
given up: whoever waits for it is told, and the thread is left where it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from serve_app.errors import EngineFailed, MantaError, Unavailable
from serve_app.health.progress import Progress

logger = logging.getLogger("manta.llamacpp")

_JOIN_S = 1.0  # between two looks at a thread that is to end


class Job(Protocol):
    """What a thread works on."""

    def fail(self, error: MantaError) -> None:
        """Tell the caller, if it still waits. Called from the engine's thread."""
        ...


JobT = TypeVar("JobT", bound=Job)


class EngineThread(Generic[JobT]):
    """Runs `work` until it is closed.

    Args:
        name: of the thread, and in messages.
        work: does the next piece of work on the waiting jobs, which it removes when they are done. It
            is called again as long as jobs wait, and sees new ones at each call.
        release: frees the engine; called on the thread, after the last `work`.
        progress: is told when a piece of work begins; `work` may tell it of smaller steps too.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[JobT]], None],
        release: Callable[[], None],
        progress: Progress,
    ) -> None:
        self._name = name
        self._work = work
        self._release = release
        self._progress = progress
        self._inbox: queue.SimpleQueue[JobT | None] = queue.SimpleQueue()  # None: close
        self._waiting: list[JobT] = []
        self._is_closing = False
        self._is_given_up = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def num_jobs(self) -> int:
        """Handed over, and not done."""
        return self._inbox.qsize() + len(self._waiting)

    def submit(self, job: JobT) -> None:
        """Hand over a job.

        Raises:
            EngineFailed, Unavailable: as `check`.
        """
        self.check()
        self._inbox.put(job)
        if self._is_closing:  # it may have looked into the inbox for the last time already
            self._drain_failed()
            self._inbox.put(None)

    def check(self) -> None:
        """Return if the thread works.

        Raises:
            EngineFailed: it died or hangs; the engine must be opened again, by another process if it hangs.
            Unavailable: it is closing.
        """
        self._look()
        if self._failure is not None:
            raise self._ended() from self._failure
        if self._is_closing:
            raise Unavailable(f"{self._name} is stopping")

    async def close(self) -> bool:
        """Stop after the piece of work under way, and free the engine.

        Returns:
            False: it hangs, and what it uses must be left to it.
        """
        self._is_closing = True
        self._inbox.put(None)
        while self._thread.is_alive():
            self._look()
            if self._is_given_up:
                return False
            await asyncio.to_thread(self._thread.join, _JOIN_S)
        return True

    def _look(self) -> None:
        """Give the engine up if it hangs. Should it move on after all, it ends before its next piece of work."""
        if self._failure is not None:
            return
        try:
            self._progress.check()
        except EngineFailed as exc:
            logger.error("%s", exc.message)  # noqa: TRY400 (the stack of who found out says nothing)
            self._is_given_up = self._is_closing = True
            self._failure = exc
            for job in list(self._waiting):
                job.fail(self._ended())
            self._drain_failed()
            self._inbox.put(None)

    def _run(self) -> None:
        waiting = self._waiting
        try:
            while self._receive(waiting):
                self._progress.begin()
                self._work(waiting)
        except BaseException as exc:
            logger.exception("the engine thread of %s died", self._name)
            self._failure = exc
        finally:
            self._is_closing = True
            self._progress.rest()
            self._release()
            for job in waiting:
                job.fail(self._ended())
            self._drain_failed()

    def _receive(self, waiting: list[JobT]) -> bool:
        """Take new jobs in; waits only if there is nothing to do. False: close."""
        if not waiting:
            self._progress.rest()
        while True:
            try:
                job = self._inbox.get(block=not waiting)
            except queue.Empty:
                return True
            if job is None:
                return False
            waiting.append(job)

    def _drain_failed(self) -> None:
        while True:
            try:
                job = self._inbox.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                job.fail(self._ended())

    def _ended(self) -> MantaError:
        if isinstance(self._failure, EngineFailed):
            return EngineFailed(self._failure.message)
        if self._failure is not None:
            return EngineFailed(f"the engine thread of {self._name} died: {self._failure!r}")
        return Unavailable(f"{self._name} is stopping")


def call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Run `callback` on the caller's loop; if that is closed, nobody waits any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
