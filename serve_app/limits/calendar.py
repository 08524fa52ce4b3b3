"""Days and months in UTC, on a clock that no change of the machine's time moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from serve_app.limits.base import Kind

_S_PER_DAY = 86_400.0


class Calendar:
    """Takes the wall clock's time once and counts on by the monotonic clock: a clock that jumps can neither empty a
    day's budget nor give it twice.

    Args:
        clock: monotonic seconds.
        wall_clock: Unix seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._offset_s = wall_clock() - clock()
        self._today = ""  # as it was when it was last asked, and when it begins and ends
        self._begins_s, self._ends_s = 0.0, 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._offset_s + self._clock(), UTC)

    def today(self) -> date:
        return self.now().date()

    def period(self, kind: Kind) -> str:
        """The day or month that it is: `2026-11-21` or `2026-11`."""
        if not self._begins_s <= self._clock() < self._ends_s:
            today = self.now()
            began = datetime(today.year, today.month, today.day, tzinfo=UTC)
            self._today = today.date().isoformat()
            self._begins_s = began.timestamp() - self._offset_s
            self._ends_s = self._begins_s + _S_PER_DAY
        return self._today if kind is Kind.DAY else self._today[:7]

    def seconds_left(self, kind: Kind) -> float:
        """Until the next day or month begins."""
        now = self.now()
        today = now.date()
        next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
        following = today + timedelta(days=1) if kind is Kind.DAY else next_month
        midnight = datetime(following.year, following.month, following.day, tzinfo=UTC)
        return (midnight - now).total_seconds()

    def last_days(self, num_days: int) -> list[str]:
        """Today and the days before, oldest first."""
        today = self.today()
        return [(today - timedelta(days=back)).isoformat() for back in range(num_days - 1, -1, -1)]
