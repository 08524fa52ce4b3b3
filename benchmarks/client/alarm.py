"""Being woken at a moment, to some ten microseconds.

An event loop's own timers are too coarse for a schedule: libuv and epoll count in milliseconds, so a
timer is up to 1 ms late before anything is slow. On Linux a timerfd wakes the loop like a socket does.
Elsewhere the loop's timers are what there is.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_TFD_TIMER_ABSTIME = 1


class Alarm(Protocol):
    """Calls back once at or shortly after the moment it was set to; setting it again moves it."""

    def set(self, at_ns: int) -> None:
        """Ring at `at_ns` of time.perf_counter_ns(); a moment that is over rings at once."""

    def close(self) -> None:
        """Never ring again."""


def make_alarm(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> Alarm:
    """The most precise alarm of this system."""
    return _TimerFd(loop, ring) if sys.platform == "linux" else _LoopTimer(loop, ring)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class _TimerFd:
    """A timerfd on CLOCK_MONOTONIC, which is what time.perf_counter_ns() reads on Linux."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._loop = loop
        self._ring = ring
        self._spec = _Itimerspec()
        loop.add_reader(self._fd, self._on_readable)

    def set(self, at_ns: int) -> None:
        at_ns = max(at_ns, 1)  # 0 would switch it off
        self._spec.value.seconds, self._spec.value.nanoseconds = divmod(at_ns, 1_000_000_000)
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None)

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _on_readable(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # it was set again between ringing and being read
            return
        self._ring()


class _LoopTimer:
    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at_ns: int) -> None:
        self.close()
        self._handle = self._loop.call_later(max(0.0, (at_ns - time.perf_counter_ns()) / 1e9), self._ring)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
