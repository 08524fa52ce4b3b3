"""A process that a benchmark starts ends with whoever started it, however that one died.

The starter holds the other end of the process' standard input, which ends with it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


def exit_with_input() -> None:
    """End this process at once, as it stands, when its standard input ends."""
    _watch(lambda: os._exit(0))


def terminate_with_input() -> None:
    """Send this process SIGTERM when its standard input ends."""
    _watch(lambda: os.kill(os.getpid(), signal.SIGTERM))


def _watch(end: Callable[[], None]) -> None:
    def wait() -> None:
        while os.read(0, 4096):  # not sys.stdin, whose lock would be held when the interpreter ends
            pass
        end()

    threading.Thread(target=wait, name="stdin", daemon=True).start()
