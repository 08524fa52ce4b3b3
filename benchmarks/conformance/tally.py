"""What a window's records say of the application: who was answered, who was told, who was left in the dark.

Pure: records and expected texts in, counts out. Knows nothing of what was done to the server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.client.exchange import NO_END
from benchmarks.conformance.alignment import damage
from benchmarks.records import Outcome, Record


class Ending(StrEnum):
    """How a request ended, as its client sees it."""

    COMPLETED = "completed"
    TOLD = "told"  # cut by an error event: the client knows, and knows why
    BROKEN = "broken"  # cut with its connection: the client knows, and not why
    LOST = "lost"  # the message ended as if it were whole, or never: the client does not know
    REFUSED = "refused"  # 429, or 503 with Retry-After
    ERROR = "error"  # another status: the client knows, and nothing had begun
    UNANSWERED = "unanswered"  # no status at all: no connection, or one that broke or stayed silent
    OUTSIDE = "outside"  # the run's own end, or a user who left as planned


_BEFORE_ITS_BEGIN = (Ending.REFUSED, Ending.ERROR, Ending.UNANSWERED)
_CUT = (Ending.TOLD, Ending.BROKEN, Ending.LOST)
FAILED = (*_CUT, *_BEFORE_ITS_BEGIN)


def ending(record: Record, hung_after_s: float | None = None) -> Ending:
    """How a request ended. A stream has begun once its status 200 came.

    Args:
        hung_after_s: a request that was in flight for so long when the run ended hung; None: never.
    """
    if record.outcome is Outcome.INTERRUPTED:
        is_hung = hung_after_s is not None and record.end_ns - record.intended_ns > hung_after_s * 1e9
        return _cut(record) if is_hung else Ending.OUTSIDE
    return _BY_OUTCOME.get(record.outcome) or _cut(record)


_BY_OUTCOME = {
    Outcome.OK: Ending.COMPLETED,
    Outcome.ABANDONED: Ending.OUTSIDE,
    Outcome.REFUSED: Ending.REFUSED,
    Outcome.HTTP_ERROR: Ending.ERROR,
    Outcome.STREAM_ERROR: Ending.TOLD,
}


def _cut(record: Record) -> Ending:
    """Of a request whose connection or patience ended before its answer did."""
    if record.headers_ns is None:
        return Ending.UNANSWERED
    is_silent = record.detail == NO_END or record.outcome in (Outcome.TIMEOUT, Outcome.INTERRUPTED)
    return Ending.LOST if is_silent else Ending.BROKEN


@dataclass(frozen=True, slots=True)
class Ended:
    """A request with how it ended."""

    record: Record
    kind: Ending

    @property
    def has_failed(self) -> bool:
        """It did not get what it asked for, however it was told."""
        return self.kind in FAILED

    @property
    def intended_s(self) -> float:
        return self.record.intended_ns / 1e9

    @property
    def end_s(self) -> float:
        return self.record.end_ns / 1e9


def ended(records: Sequence[Record], hung_after_s: float | None = None) -> tuple[Ended, ...]:
    """All of a window's requests; `hung_after_s`: see `ending`."""
    return tuple(Ended(record, ending(record, hung_after_s)) for record in records)


@dataclass(frozen=True, slots=True)
class Wrong:
    """An answer whose text is not what it should be."""

    index: int  # of the request in its run
    doubled: tuple[int, ...]
    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """A window in numbers.

    Args:
        endings: ending -> requests that ended so; nothing for an ending that none had.
        num_compared: answers, whole or cut, whose text was held against the expected one.
        wrong: those whose text has tokens twice or missing.
        num_vain_tokens: tokens that reached clients in streams that were then cut.
        slowest_first_token_ms: of the completed streams, from the intended arrival; None: none was completed.
        longest_pause_ms: between two tokens of a completed stream; None: none had two.
    """

    endings: Mapping[Ending, int]
    num_asked: int
    num_started: int
    num_compared: int
    wrong: tuple[Wrong, ...]
    num_vain_tokens: int
    slowest_first_token_ms: float | None
    longest_pause_ms: float | None

    def num(self, kind: Ending) -> int:
        return self.endings.get(kind, 0)

    @property
    def num_failed(self) -> int:
        """Requests that did not get what they asked for, however they were told."""
        return sum(self.num(kind) for kind in FAILED)

    @property
    def num_doubled(self) -> int:
        return sum(len(one.doubled) for one in self.wrong)

    @property
    def num_missing(self) -> int:
        return sum(len(one.missing) for one in self.wrong)


def tally(requests: Sequence[Ended], expected: Mapping[str, str]) -> Tally:
    """Count a window.

    Args:
        expected: entry of the mix -> the text that each of its answers must have. Entries without one are
            not compared.
    """
    endings = Counter(request.kind for request in requests)
    compared = [
        request
        for request in requests
        if request.record.entry in expected and request.record.text is not None and request.record.num_pieces
    ]
    completed_ms = [
        (request.record.first_token_ns - request.record.intended_ns) / 1e6
        for request in requests
        if request.kind is Ending.COMPLETED and request.record.first_token_ns is not None
    ]
    pauses_ms = [
        max(request.record.gaps_us) / 1e3
        for request in requests
        if request.kind is Ending.COMPLETED and request.record.gaps_us
    ]
    return Tally(
        endings=dict(endings),
        num_asked=sum(num for kind, num in endings.items() if kind is not Ending.OUTSIDE),
        num_started=endings[Ending.COMPLETED] + sum(endings[kind] for kind in _CUT),
        num_compared=len(compared),
        wrong=tuple(wrong for request in compared if (wrong := _wrong(request, expected))),
        num_vain_tokens=sum(request.record.num_pieces for request in requests if request.kind in _CUT),
        slowest_first_token_ms=max(completed_ms, default=None),
        longest_pause_ms=max(pauses_ms, default=None),
    )


def _wrong(request: Ended, expected: Mapping[str, str]) -> Wrong | None:
    record = request.record
    assert record.text is not None
    found = damage(record.text, expected[record.entry], is_whole=request.kind is Ending.COMPLETED)
    return Wrong(record.index, found.doubled, found.missing) if found else None
