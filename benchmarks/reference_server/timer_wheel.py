"""What is due when: slots of a quarter of a millisecond, and the kernel's timer that wakes for the next.

Knows nothing of sockets or tokens.
"""

from __future__ import annotations

import ctypes
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Generic, TypeVar

TICK_NS = 250_000

T = TypeVar("T")


class TimerWheel(Generic[T]):
    """Items by the tick at which they are due: nothing comes out early, and at most a tick late by itself."""

    def __init__(self, now_ns: int) -> None:
        self._slots: defaultdict[int, list[T]] = defaultdict(list)
        self._last = now_ns // TICK_NS  # the newest slot that was taken

    def put(self, item: T, due_ns: int) -> None:
        slot = -(-due_ns // TICK_NS)
        self._slots[slot if slot > self._last else self._last + 1].append(item)

    def take(self, now_ns: int) -> Sequence[T]:
        """Everything that has become due, by slot and then in the order in which it was put."""
        now = now_ns // TICK_NS
        due: list[T] = []
        if self._slots:
            for slot in range(self._last + 1, now + 1):
                if slot in self._slots:
                    due += self._slots.pop(slot)
        self._last = now
        return due

    def next_ns(self) -> int | None:
        """When the next item can be taken; None: there is none."""
        if not self._slots:
            return None
        following = self._last + 1  # which it is, when there is much to do
        return (following if following in self._slots else min(self._slots)) * TICK_NS


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class Alarm:
    """A timerfd that becomes readable at a time, once."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._spec = _Itimerspec()
        self._pointer = ctypes.byref(self._spec)
        self.fileno = _checked(self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS))
        self._set_ns: int | None = None

    def set(self, at_ns: int | None) -> None:
        """Ring at this time of the clock and at no other; None: not at all. Stops it ringing now."""
        if at_ns != self._set_ns:
            self._set_ns = at_ns
            self._spec.value.seconds, self._spec.value.nanoseconds = divmod(at_ns or 0, 1_000_000_000)
            _checked(self._libc.timerfd_settime(self.fileno, _TFD_TIMER_ABSTIME, self._pointer, None))

    def close(self) -> None:
        os.close(self.fileno)


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
