"""A thread that ends this process when its event loop does not run any more.

In Serve's throughput mode requests, health checks and our code share one loop. When something blocks it, the
controller finds out by checks that are not answered, three in a row; this finds out sooner, says in the log
what every thread was doing, and a process that is gone is told to callers at once. docs/decisions/0009.

The same thread ends a process that was stopped for so long that another has taken its place. So that it can,
a timer of the kernel continues a process that stays stopped.

It cannot see a loop that is blocked inside C code which holds Python's lock: then this thread does not run
either. For that case the interpreter's own watchdog, which needs no lock, writes the stacks, and the
controller's checks do the rest.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable

from serve_app.health.forgotten import Forgotten
from serve_app.health.wake_up import WakeUp

logger = logging.getLogger("manta.health")

# EX_SOFTWARE of sysexits.h, to be told from Ray's own exits in its logs.
EXIT_CODE = 70
_STDERR = 2  # the file descriptor
_LAST_WORDS_S = 1.0
# After a controller's patience with a process that is stopped: it shall have decided before the process goes on.
_WAKE_UP_MARGIN_S = 5.0
_TICKS = 10  # looks in the time that a loop may be blocked, or a controller waits


class Stall:
    """For how long something has not answered, in time during which the asker itself ran. Pure.

    A process that was stopped and goes on (a paused container, a machine that was moved) finds hours gone on
    its clock and nothing wrong with it: a tick counts at most twice its length.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self.seconds = 0.0

    def tick(self, elapsed_s: float, *, has_answered: bool) -> None:
        self.seconds = 0.0 if has_answered else self.seconds + min(elapsed_s, 2 * self._tick_s)


class LoopWatch:
    """Watches one event loop from the moment it is made, until it is closed.

    Args:
        name: of the replica, for the log.
        max_block_s: seconds without a turn of the loop that are too many.
        patience_s: for how long the controller waits for a replica that does not answer.
        loop: to watch. Made from its own code, once nothing slow is left to be done before it turns.
        end: is called when it is blocked or forgotten, on the watching thread, with the reason.
    """

    def __init__(
        self,
        name: str,
        max_block_s: float,
        patience_s: float,
        loop: asyncio.AbstractEventLoop,
        end: Callable[[str], None] | None = None,
    ) -> None:
        self._name = name
        self._max_block_s = max_block_s
        self._tick_s = min(max_block_s, patience_s) / _TICKS
        self._forgotten = Forgotten(patience_s)
        self._wake_up = WakeUp(patience_s + _WAKE_UP_MARGIN_S)
        self._was_asked = True
        self._loop = loop
        self._end = end or end_process
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"loop-watch-{name}", daemon=True)
        self._thread.start()

    def asked(self) -> None:
        """The controller asks for this replica's health."""
        self._was_asked = True

    def close(self) -> None:
        """Watch no more. Closing twice is fine."""
        self._is_closed.set()
        self._wake_up.close()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        stall = Stall(self._tick_s)
        has_turned = threading.Event()
        has_turned.set()
        last_s = time.monotonic()
        while True:
            is_closed = self._is_closed.wait(self._tick_s)
            now_s = time.monotonic()
            elapsed_s, last_s = now_s - last_s, now_s
            was_asked, self._was_asked = self._was_asked, False
            if self._forgotten.tick(elapsed_s, was_asked=was_asked):
                self._end(
                    f"{self._name} was stopped, and no controller has asked for its health for "
                    f"{self._forgotten.unasked_s:.0f} s since: another has taken its place"
                )
                return
            if is_closed:
                # The order to close may have waited in the connection while the process was stopped, and whoever
                # gave it may have dropped the matter since.
                if not self._forgotten.has_stood_still:
                    return
                threading.Event().wait(self._tick_s)
                continue
            stall.tick(elapsed_s, has_answered=has_turned.is_set())
            if stall.seconds > self._max_block_s:
                self._end(f"the event loop of {self._name} has not run for {stall.seconds:.0f} s")
                return
            self._wake_up.postpone()
            _dump_unless_called_again(2 * self._max_block_s)
            if has_turned.is_set():
                has_turned.clear()
                if not _call_soon(self._loop, has_turned.set):
                    return


def end_process(reason: str) -> None:
    """Write the reason and every thread's stack to the process' log, and end it without any further step.

    Nothing could be closed in order: whatever would do that runs on the loop that does not run.
    """
    # Past Serve, which puts a buffer of its log in the place of sys.stderr.
    os.write(_STDERR, f"manta: {reason}; the process ends. Its threads were at:\n".encode())
    faulthandler.dump_traceback(file=_STDERR)
    # The blocked thread may hold a lock of the log for ever.
    telling = threading.Thread(target=_log_last_words, args=(reason,), daemon=True)
    telling.start()
    telling.join(_LAST_WORDS_S)
    os._exit(EXIT_CODE)


def _log_last_words(reason: str) -> None:
    logger.critical("%s; this process ends, so that another takes its place", reason)
    logging.shutdown()  # writes what is buffered


def _dump_unless_called_again(seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds, file=_STDERR)


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> bool:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:  # the loop is closed
        return False
    return True
