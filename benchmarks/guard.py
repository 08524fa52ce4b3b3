"""`python -m benchmarks.guard COMMAND ...`: runs a command that ends with whoever started it.

Servers of others do not watch their standard input. This does it for them: when it ends, or at SIGTERM, the command
is told to end, and killed if it does not. What it started itself is killed when it has ended: vLLM's engine, for one,
outlives a server that is ended while it starts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

from benchmarks.input_end import terminate_with_input

_PATIENCE_S = 10.0


def main() -> None:
    """Run the command, and end with its exit code."""
    command = sys.argv[1:]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 (our caller's own)

    def end(_signal: int, _frame: FrameType | None) -> None:
        process.terminate()
        killer = threading.Timer(_PATIENCE_S, process.kill)
        killer.daemon = True
        killer.start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this, who then says SIGTERM
    terminate_with_input()
    status = abs(process.wait())
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    sys.exit(status)


if __name__ == "__main__":
    main()
