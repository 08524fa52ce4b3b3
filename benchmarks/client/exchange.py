"""One request on its way: what has been seen of its answer, and the record it leaves.

The connection tells it what came and when; it knows what that means. It ends exactly once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec

from benchmarks.client.answers import Reader, Said, Usage, error_text
from benchmarks.client.events import EventSplitter, EventTooLarge
from benchmarks.client.task import Entry
from benchmarks.records import Outcome, Record
from benchmarks.schedule.planned import PlannedRequest

MAX_ERROR_BYTES = 65_536  # of an answer that is no success, more is not kept
NO_END = "the stream ended without its end event ([DONE])"  # though the HTTP message was whole


class Exchange:
    """A request and its answer so far.

    Args:
        intended_ns: when it should leave; absolute, like every time it is told.
        keep_text: whether the answer's text is wanted (a session's next turn needs it).
        on_end: called once, with this exchange, when `outcome` is known.
    """

    __slots__ = (
        "_body",
        "_on_end",
        "_reader",
        "_splitter",
        "_text",
        "connect_ns",
        "detail",
        "end_ns",
        "entry",
        "headers_ns",
        "intended_ns",
        "is_resent",
        "num_bytes",
        "outcome",
        "pieces_ns",
        "planned",
        "request",
        "retry_after",
        "said_end",
        "sent_ns",
        "status",
        "usage",
    )

    def __init__(
        self,
        planned: PlannedRequest,
        entry: Entry,
        reader: Reader,
        request: bytes,
        intended_ns: int,
        *,
        keep_text: bool,
        on_end: Callable[[Exchange], None],
    ) -> None:
        self.planned = planned
        self.entry = entry
        self.request = request
        self.intended_ns = intended_ns
        self.sent_ns: int | None = None
        self.connect_ns: int | None = None
        self.headers_ns: int | None = None
        self.end_ns: int | None = None
        self.pieces_ns: list[int] = []
        self.status: int | None = None
        self.retry_after = False
        self.outcome: Outcome | None = None
        self.detail = ""
        self.num_bytes = 0
        self.usage: Usage | None = None
        self.said_end = False
        self.is_resent = False
        self._reader = reader
        self._splitter = EventSplitter() if entry.is_stream else None
        self._body: list[bytes] = []
        self._text: list[str] | None = [] if keep_text else None
        self._on_end = on_end

    @property
    def is_over(self) -> bool:
        return self.outcome is not None

    @property
    def text(self) -> str:
        """The answer's text so far, if it was to be kept."""
        return "".join(self._text or ())

    # ---------------------------------------------------------------- told by the connection

    def took_headers(self, status: int, *, retry_after: bool, is_event_stream: bool, now_ns: int) -> None:
        self.status = status
        self.headers_ns = now_ns
        self.retry_after = retry_after
        if self._splitter is not None and not (is_event_stream and status == 200):
            self._splitter = None  # an error, or a server that does not stream: one document

    def took_body(self, chunk: bytes, now_ns: int) -> None:
        self.num_bytes += len(chunk)
        if self._splitter is None:
            if self.status == 200 or self.num_bytes <= MAX_ERROR_BYTES:
                self._body.append(chunk)
            return
        try:
            for name, data in self._splitter.feed(chunk):
                self._take(self._reader.event(name, data), now_ns)
                if self.outcome is not None:
                    return
        except msgspec.DecodeError as exc:
            self.end(Outcome.PROTOCOL, f"an event is not what it should be: {exc}", now_ns)
        except EventTooLarge as exc:
            self.end(Outcome.PROTOCOL, str(exc), now_ns)

    def took_all(self, now_ns: int) -> None:
        """The HTTP message ended as its headers promised."""
        if self.outcome is not None:
            return
        if self.status != 200:
            self.end(self._refusal(), error_text(b"".join(self._body)) or f"HTTP {self.status}", now_ns)
        elif self._splitter is None:
            self._take_document(now_ns)
        elif self.said_end:
            self.end(Outcome.OK, "", now_ns)
        else:
            self.end(Outcome.TRUNCATED, NO_END, now_ns)

    def lost(self, detail: str, now_ns: int, *, is_reset: bool) -> None:
        """The connection is gone before the message was complete."""
        if self.outcome is not None:
            return
        if self.said_end and not is_reset:
            self.end(Outcome.OK, "", now_ns)  # all was said; only the transfer's own end is missing
        elif is_reset or self.headers_ns is None:
            self.end(Outcome.RESET, detail, now_ns)
        else:
            self.end(Outcome.TRUNCATED, detail, now_ns)

    def end(self, outcome: Outcome, detail: str, now_ns: int) -> None:
        """Ends it, once; later calls change nothing."""
        if self.outcome is None:
            self.outcome, self.detail, self.end_ns = outcome, detail[:300], now_ns
            self._on_end(self)

    # ---------------------------------------------------------------- what it leaves

    def record(
        self, worker: int, start_ns: int, *, keep_token_times: bool, keep_text: bool = False
    ) -> Record:
        """The record, with times after `start_ns`. Only once it is over."""
        assert self.outcome is not None
        assert self.end_ns is not None
        pieces = self.pieces_ns
        gaps = [(after - before) // 1000 for before, after in itertools.pairwise(pieces)]
        planned = self.planned
        return Record(
            index=planned.index,
            entry=self.entry.label,
            worker=worker,
            outcome=self.outcome,
            intended_ns=self.intended_ns - start_ns,
            end_ns=self.end_ns - start_ns,
            is_stream=self.entry.is_stream,
            sent_ns=None if self.sent_ns is None else self.sent_ns - start_ns,
            connect_ns=self.connect_ns,
            headers_ns=None if self.headers_ns is None else self.headers_ns - start_ns,
            first_token_ns=pieces[0] - start_ns if pieces else None,
            last_token_ns=pieces[-1] - start_ns if pieces else None,
            gaps_us=gaps if keep_token_times else [],
            num_pieces=len(pieces),
            num_prompt_tokens=self.usage.prompt_tokens if self.usage else None,
            num_cached_tokens=self.usage.cached_tokens if self.usage else None,
            num_output_tokens=self.usage.completion_tokens if self.usage else None,
            num_planned_prompt_tokens=planned.num_prompt_tokens,
            num_planned_output_tokens=planned.num_output_tokens,
            status=self.status,
            detail=self.detail,
            num_bytes=self.num_bytes,
            session=planned.session,
            turn=planned.turn,
            is_resent=self.is_resent,
            text=self.text if keep_text else None,
        )

    # ---------------------------------------------------------------- within

    def _take(self, said: Said, now_ns: int) -> None:
        if said.text:
            self.pieces_ns.append(now_ns)
            if self._text is not None:
                self._text.append(said.text)
        if said.usage is not None:
            self.usage = said.usage
        if said.error is not None:
            self.end(Outcome.STREAM_ERROR, said.error, now_ns)
        if said.is_end:
            self.said_end = True

    def _take_document(self, now_ns: int) -> None:
        if self.entry.is_stream:
            self.end(Outcome.PROTOCOL, "a stream was asked for, and no text/event-stream came", now_ns)
            return
        try:
            said = self._reader.document(b"".join(self._body))
        except msgspec.DecodeError as exc:
            self.end(Outcome.PROTOCOL, f"the answer is not what it should be: {exc}", now_ns)
            return
        self.usage = said.usage
        if self._text is not None:
            self._text.append(said.text)
        if said.error is not None:
            self.end(Outcome.PROTOCOL, f"an error with status 200: {said.error}", now_ns)
        else:
            self.end(Outcome.OK, "", now_ns)

    def _refusal(self) -> Outcome:
        is_refusal = self.status == 429 or (self.status == 503 and self.retry_after)
        return Outcome.REFUSED if is_refusal else Outcome.HTTP_ERROR
