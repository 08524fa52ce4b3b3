"""Runs vLLM's server for as long as the replica that wants it is there. Standard library only.

A script, run by the interpreter of vLLM's environment, in a session of its own: Ctrl-C at a terminal, which goes to
every process of it, must not take the engine from under requests that are still answered. Standard input is a pipe
whose other end the replica holds. The kernel closes it however the replica ends, also by SIGKILL, and then
everything here ends too: an engine that nobody talks to would keep its memory, and on a GPU all of it. FOLDER, where
the server's socket is, goes with it.

    python launcher.py GRACE_S FOLDER COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys


def run(grace_s: float, folder: str, command: list[str]) -> int:
    """The command's exit status, 128 and the signal's number if one ended it, as shells have it.

    Ends the command when standard input is closed, and does not return then.
    """
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 (our own replica's command line)
    poll = select.poll()
    poll.register(sys.stdin.fileno(), select.POLLIN)
    poll.register(os.pidfd_open(child.pid), select.POLLIN)
    ready = [descriptor for descriptor, _ in poll.poll()]
    if sys.stdin.fileno() not in ready:
        status = child.wait()
        shutil.rmtree(folder, ignore_errors=True)
        return status if status >= 0 else 128 - status
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(grace_s)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)  # what it started, and this
    return 1


if __name__ == "__main__":
    sys.exit(run(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))
