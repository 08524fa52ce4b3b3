"""What servers do wrong, by the name of the model that a request asks for.

Every fault is a script as those of `answers`. What a fault says of streams only leaves other answers as
they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from benchmarks.reference_server.answers import (
    admit,
    asked_by,
    body_of,
    deliver,
    end_stream,
    num_planned,
    open_stream,
    plain,
    send_body,
    send_tokens,
    stream,
    wait_for_body,
    whole,
)
from benchmarks.reference_server.calls import NEVER, Call, Pace, Script, Then
from benchmarks.reference_server.events import DONE, WORDS, Events
from benchmarks.reference_server.http_messages import (
    LAST_CHUNK,
    STREAM_HEAD,
    chunk,
    error_answer,
    error_body,
    whole_answer,
)

_MS = 1_000_000
_END = chunk(DONE) + LAST_CHUNK
_UNCHUNKED_HEAD = STREAM_HEAD.replace(b"transfer-encoding: chunked", b"connection: close")
_NUM_JOINED = 4
_HEAD_PIECE_BYTES = 8


def _half_stream(call: Call, pace: Pace) -> Script:
    events = yield from open_stream(call, pace)
    yield from send_tokens(call, pace, events, _half(call, pace))
    call.then = Then.CLOSE


def _half_body(call: Call, pace: Pace) -> Script:
    head, end, body = whole_answer(body_of(call, pace)).partition(b"\r\n\r\n")
    yield from wait_for_body(call, pace)
    call.status = 200
    yield from deliver(call, head + end + body[: len(body) // 2])
    call.then = Then.CLOSE


def _no_done(call: Call, pace: Pace) -> Script:
    events = yield from open_stream(call, pace)
    yield from send_tokens(call, pace, events, num_planned(call, pace))
    yield from deliver(call, events.ending(call.num_tokens) + LAST_CHUNK)


def _never_ends(call: Call, pace: Pace) -> Script:
    events = yield from open_stream(call, pace)
    while True:
        yield from send_tokens(call, pace, events, 1)
        # Without a pause between tokens this script would never let another one run.
        call.due_ns = max(call.due_ns, pace.clock() + _MS)


def _silent(_call: Call, _pace: Pace) -> Script:
    while True:
        yield NEVER


def _no_usage_stream(call: Call, pace: Pace) -> Script:
    asked_by(call).wants_usage = False
    return stream(call, pace)


def _no_usage_body(call: Call, pace: Pace) -> Script:
    document = msgspec.json.decode(body_of(call, pace))
    del document["usage"]
    yield from wait_for_body(call, pace)
    yield from send_body(call, pace, whole_answer(msgspec.json.encode(document)))


def _reset_stream(call: Call, pace: Pace) -> Script:
    yield from _half_stream(call, pace)
    # The last token must have left: a reset throws away what the peer has not acknowledged.
    yield pace.clock() + 5 * _MS
    call.then = Then.RESET


def _reset_body(call: Call, pace: Pace) -> Script:
    yield from wait_for_body(call, pace)
    call.then = Then.RESET


def _error_500(call: Call, _pace: Pace) -> Script:
    return plain(call, error_answer(500, "the reference server was asked to fail"), 500)


def _error_429(call: Call, _pace: Pace) -> Script:
    busy = error_answer(429, "the reference server was asked to be busy", headers="retry-after: 1\r\n")
    return plain(call, busy, 429)


def _error_event(call: Call, pace: Pace) -> Script:
    events = yield from open_stream(call, pace)
    yield from send_tokens(call, pace, events, _half(call, pace))
    error = b"data: " + error_body(500, "the reference server was asked to fail in its stream") + b"\n\n"
    yield from deliver(call, chunk(error) + _END)


def _bad_json_stream(call: Call, pace: Pace) -> Script:
    events = yield from open_stream(call, pace)
    yield from send_tokens(call, pace, events, _half(call, pace))
    yield from deliver(call, chunk(b'data: {"choices": [{"delta":\n\n'))
    yield from send_tokens(call, pace, events, num_planned(call, pace) - call.num_tokens)
    yield from end_stream(call, events)


def _bad_json_body(call: Call, pace: Pace) -> Script:
    yield from wait_for_body(call, pace)
    yield from send_body(call, pace, whole_answer(b'{"choices": [{"message":'))


def _bad_http(call: Call, _pace: Pace) -> Script:
    yield from deliver(call, b"this is not HTTP\r\n\r\n")
    call.then = Then.CLOSE


def _slow_headers_stream(call: Call, pace: Pace) -> Script:
    yield from _drip(call, pace, STREAM_HEAD)
    events = yield from open_stream(call, pace, head=b"")
    yield from send_tokens(call, pace, events, num_planned(call, pace))
    yield from end_stream(call, events)


def _slow_headers_body(call: Call, pace: Pace) -> Script:
    head, end, body = whole_answer(body_of(call, pace)).partition(b"\r\n\r\n")
    yield from wait_for_body(call, pace)
    yield from _drip(call, pace, head + end)
    yield from send_body(call, pace, body)


def _drip(call: Call, pace: Pace, data: bytes) -> Script:
    for start in range(0, len(data), _HEAD_PIECE_BYTES):
        yield from deliver(call, data[start : start + _HEAD_PIECE_BYTES])
        yield pace.clock() + _MS


def _joined(call: Call, pace: Pace) -> Script:
    events = yield from open_stream(call, pace)
    num_left = num_planned(call, pace)
    while num_left:
        num_joined = min(_NUM_JOINED, num_left)
        indexes = range(call.num_tokens, call.num_tokens + num_joined)
        written = b"".join(chunk(events.token(index)) for index in indexes)
        for _ in range(num_joined - 1):
            call.due_ns += pace.delays.next_gap_ns()
        yield call.due_ns
        now_ns = pace.clock()
        yield from deliver(call, written)
        call.count(num_joined, now_ns, now_ns)
        call.due_ns += pace.delays.next_gap_ns()
        num_left -= num_joined
    yield from end_stream(call, events)


def _split(call: Call, pace: Pace) -> Script:
    """Each event in two HTTP chunks, cut within a character, and in two writes, cut elsewhere."""
    events = yield from open_stream(call, pace)
    num_left = num_planned(call, pace)
    while num_left:
        # Three bytes to a character: cut after the first of them.
        event = events.text(WORDS[call.num_tokens % len(WORDS)] + "\N{HIRAGANA LETTER A}")
        cut = event.index("\N{HIRAGANA LETTER A}".encode()) + 1
        first, second = chunk(event[:cut]), chunk(event[cut:])
        yield call.due_ns
        yield from deliver(call, first + second[:1])
        yield pace.clock() + _MS
        now_ns = pace.clock()
        yield from deliver(call, second[1:])
        call.count(1, now_ns, now_ns)
        call.due_ns += pace.delays.next_gap_ns()
        num_left -= 1
    yield from end_stream(call, events)


def _no_chunking(call: Call, pace: Pace) -> Script:
    events = yield from open_stream(call, pace, head=_UNCHUNKED_HEAD, frame=bytes)
    for _ in range(num_planned(call, pace)):
        yield call.due_ns
        now_ns = pace.clock()
        yield from deliver(call, events.token(call.num_tokens))
        call.count(1, now_ns, now_ns)
        call.due_ns += pace.delays.next_gap_ns()
    yield from deliver(call, events.finish() + events.usage(call.num_tokens) + DONE)
    call.then = Then.CLOSE


def _keepalive_close_stream(call: Call, pace: Pace) -> Script:
    yield from stream(call, pace)
    call.then = Then.CLOSE


def _keepalive_close_body(call: Call, pace: Pace) -> Script:
    yield from whole(call, pace)
    call.then = Then.CLOSE


def _role_first(call: Call, pace: Pace) -> Script:
    asked = asked_by(call)
    call.status = 200
    events = Events(asked, call.number)
    role = chunk(events.role()) if asked.is_chat else b""
    yield from deliver(call, STREAM_HEAD + role)
    yield from admit(call, pace)
    yield call.due_ns
    yield from send_tokens(call, pace, events, num_planned(call, pace))
    yield from end_stream(call, events)


def _half(call: Call, pace: Pace) -> int:
    return (num_planned(call, pace) + 1) // 2


ScriptMaker = Callable[[Call, Pace], Script]


@dataclass(frozen=True, slots=True)
class Fault:
    """How streams and answers in one piece go wrong; None: they do not."""

    description: str
    stream: ScriptMaker | None = None
    whole: ScriptMaker | None = None


FAULTS = {
    "half": Fault("half of the answer, then the connection is closed", _half_stream, _half_body),
    "no-done": Fault("streams: everything but [DONE]", _no_done),
    "never-ends": Fault("streams: tokens until the client leaves", _never_ends),
    "silent": Fault("no answer at all", _silent, _silent),
    "no-usage": Fault("no usage, though asked for it", _no_usage_stream, _no_usage_body),
    "reset": Fault("half of a stream, or nothing, then the connection is reset", _reset_stream, _reset_body),
    "error-500": Fault("status 500 at once", _error_500, _error_500),
    "error-429": Fault("status 429 with Retry-After at once", _error_429, _error_429),
    "error-event": Fault("streams: half of the tokens, an event with an error, [DONE]", _error_event),
    "bad-json": Fault("an event amid the stream, or the body, is no JSON", _bad_json_stream, _bad_json_body),
    "bad-http": Fault("bytes that are not HTTP, then the connection is closed", _bad_http, _bad_http),
    "slow-headers": Fault(
        "the head in pieces of 8 bytes, 1 ms apart", _slow_headers_stream, _slow_headers_body
    ),
    "joined": Fault(f"streams: {_NUM_JOINED} tokens a write, when the last of them is due", _joined),
    "split": Fault(
        "streams: each event cut within a character, over two chunks and writes 1 ms apart", _split
    ),
    "no-chunking": Fault("streams: no transfer-encoding, ended by closing the connection", _no_chunking),
    "keepalive-close": Fault(
        "a kept-alive connection is closed right after the answer",
        _keepalive_close_stream,
        _keepalive_close_body,
    ),
    "role-first": Fault(
        "chat streams: the event with the role at once, long before the first token", _role_first
    ),
}
_NO_FAULT = Fault("none")


def script_for(call: Call, pace: Pace) -> Script:
    """The script that answers what was asked."""
    asked = asked_by(call)
    fault = FAULTS.get(asked.model, _NO_FAULT)
    if asked.is_stream:
        return (fault.stream or stream)(call, pace)
    return (fault.whole or whole)(call, pace)
