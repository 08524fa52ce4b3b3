"""The audit log of one replica: lines are handed over at once and written behind the requests' backs.

What cannot be written (a full disk, more than is kept waiting) is counted and logged; requests go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from serve_app.audit.entry import AuditEntry
from serve_app.audit.files import RotatingFile

logger = logging.getLogger("manta.audit")

MAX_WAITING = 20_000  # lines, about half a KB each
WRITE_EVERY_S = 0.2


class AuditLog:
    """Entries on their way to a file.

    Args:
        max_unknown_per_s: entries about nobody known that are kept; the rest is counted, so that a flood of
            unknown keys cannot push what matters out of the files.
        clock: monotonic seconds.
    """

    def __init__(
        self, file: RotatingFile, max_unknown_per_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = file
        self._max_unknown_per_s = max_unknown_per_s
        self._clock = clock
        self._unknown_left = max(1.0, max_unknown_per_s)
        self._looked_s = clock()
        self._num_left_out = 0
        self._waiting: deque[bytes] = deque()
        self.num_lost = 0

    def add(self, entry: AuditEntry) -> None:
        """Never waits."""
        if entry.who is None and not self._may_keep_unknown():
            self._num_left_out += 1
            return
        if self._num_left_out:
            entry = replace(entry, num_left_out=self._num_left_out)
            self._num_left_out = 0
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.num_lost += 1
        self._waiting.append(entry.line())

    async def write(self) -> None:
        """Write what waits. What cannot be written is lost, counted and said once a time."""
        if not self._waiting:
            return
        num_lines = len(self._waiting)
        lines = b"".join(self._waiting)
        self._waiting.clear()
        try:
            await asyncio.to_thread(self._file.write, lines)
        except OSError as exc:
            self.num_lost += num_lines
            logger.warning("%d lines of the audit log are lost: %s", num_lines, exc)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.write()

    def _may_keep_unknown(self) -> bool:
        now = self._clock()
        rate = self._max_unknown_per_s
        self._unknown_left = min(max(1.0, rate), self._unknown_left + (now - self._looked_s) * rate)
        self._looked_s = now
        if self._unknown_left < 1.0:
            return False
        self._unknown_left -= 1.0
        return True
