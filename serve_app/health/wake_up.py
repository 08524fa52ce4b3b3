"""A timer of the kernel that continues this process when it was stopped. docs/decisions/0009."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys

logger = logging.getLogger("manta.health")

# time.h and asm-generic/siginfo.h of Linux, the same on x86 and Arm.
_CLOCK_MONOTONIC = 1
_SIGEV_SIGNAL = 0
_SIGEVENT_BYTES = 64


class _SigEvent(ctypes.Structure):
    """`struct sigevent`: what happens when a timer is due."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        (
            "rest",
            ctypes.c_char
            * (_SIGEVENT_BYTES - ctypes.sizeof(ctypes.c_void_p) - 2 * ctypes.sizeof(ctypes.c_int)),
        ),
    )


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class WakeUp:
    """Sends SIGCONT to this process if `postpone` is not called for so many seconds.

    SIGCONT continues a process that was stopped (SIGSTOP) and is nothing to one that runs, nor to one that a debugger
    or a frozen container holds. The timer is the kernel's, because of a stopped process nothing else runs. Only Linux
    has such timers; elsewhere nothing is sent.

    Args:
        after_s: seconds; does not count those in which the machine is suspended.
    """

    def __init__(self, after_s: float) -> None:
        whole_s = int(after_s)
        after = _TimeSpec(whole_s, int((after_s - whole_s) * 1e9))
        self._after = _TimerSpec(interval=_TimeSpec(0, 0), value=after)
        self._timer: ctypes.c_void_p | None = None
        if sys.platform != "linux":
            return
        self._libc = ctypes.CDLL(None, use_errno=True)
        timer, event = ctypes.c_void_p(), _SigEvent(signo=signal.SIGCONT, notify=_SIGEV_SIGNAL)
        if self._libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) != 0:
            # A limit on pending signals can be reached: the replica is as good without.
            logger.warning("no timer for a process that is stopped: %s", os.strerror(ctypes.get_errno()))
            return
        self._timer = timer
        self.postpone()

    def postpone(self) -> None:
        """From now on it is so many seconds again."""
        if self._timer is not None:
            self._libc.timer_settime(self._timer, 0, ctypes.byref(self._after), None)

    def close(self) -> None:
        """Send nothing more. Closing twice is fine."""
        timer, self._timer = self._timer, None
        if timer is not None:
            self._libc.timer_delete(timer)
