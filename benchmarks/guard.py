"""`python -m benchmarks.guard COMMAND ...`: runs a command that ends with whoever started it.

Servers of others do not watch their standard input. This does it for them: when it ends, or at SIGTERM, the command
is told to end, and killed if it does not.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from types import FrameType

from benchmarks.input_end import terminate_with_input

_PATIENCE_S = 10.0


def main() -> None:
    """Run the command, and end with its exit code."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603 (our caller's own command)

    def end(_signal: int, _frame: FrameType | None) -> None:
        process.terminate()
        killer = threading.Timer(_PATIENCE_S, process.kill)
        killer.daemon = True
        killer.start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this, who then says SIGTERM
    terminate_with_input()
    sys.exit(abs(process.wait()))


if __name__ == "__main__":
    main()
