"""When a RayService counts as serving, and when waiting for it is over. Pure: clocks are passed in.

Three things make one look at the status too little. The operator reads Serve's applications, then hands Serve the
new configuration, then writes both down: for one or two of its rounds (2 s each) the old applications are
reported as running under the new generation. A failure, too, may be that of the configuration before. And a
container that cannot pull its image may be seconds from being able to. So each must last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kuberay.diagnosis import Reason
from kuberay.service_status import Phase, ServiceStatus

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a state must last before it is believed, in seconds."""

    settle_s: float = 10.0  # serving: five of the operator's rounds
    fail_s: float = 20.0  # failed
    stuck_s: float = 300.0  # something that only a person can mend

    def tick_s(self, most_s: float) -> float:
        """How often to look where nothing changes, so that a state is believed when it has lasted."""
        return min(most_s, *(one for one in (self.settle_s, self.fail_s) if one > 0), most_s)

    def judge(self, now_s: Callable[[], float]) -> Judge:
        """Somebody who looks at states one after the other."""
        return Judge(self, now_s)


class Judge:
    """Remembers since when things are as they are."""

    def __init__(self, patience: Patience, now_s: Callable[[], float]) -> None:
        self._patience = patience
        self._now_s = now_s
        self._phase: Phase | None = None
        self._since_s = now_s()
        self._stuck: dict[str, float] = {}  # reason, whatever its counts -> since when

    def is_settled(self, status: ServiceStatus | None) -> bool:
        """Look at a state (None: it is not there); whether it serves, and has for long enough."""
        phase = status.phase if status else None
        if phase is not self._phase:
            self._phase, self._since_s = phase, self._now_s()
        return phase is Phase.SERVING and self._lasted(self._patience.settle_s)

    @property
    def has_failed(self) -> bool:
        return self._phase is Phase.FAILED and self._lasted(self._patience.fail_s)

    def stuck_for_too_long(self, reasons: Sequence[Reason]) -> str:
        """The reason that has stood for too long; empty: none has."""
        now_s = self._now_s()
        stuck = {_DIGITS.sub("#", reason.text): reason.text for reason in reasons if reason.is_stuck}
        self._stuck = {key: self._stuck.get(key, now_s) for key in stuck}
        over = [
            stuck[key] for key, since_s in self._stuck.items() if now_s - since_s >= self._patience.stuck_s
        ]
        return over[0] if over else ""

    def _lasted(self, long_s: float) -> bool:
        return self._now_s() - self._since_s >= long_s
