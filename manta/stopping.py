"""How a command of ours comes to its end when nobody is there to press Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading


def stop_when_input_ends() -> None:
    """A parent holds the other end of standard input; when it dies without a word, nothing else tells."""

    end = sys.stdin.fileno()

    def wait() -> None:
        while os.read(end, 4096):  # not by sys.stdin: its lock, held at exit, would end Python by an abort
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="stdin", daemon=True).start()
