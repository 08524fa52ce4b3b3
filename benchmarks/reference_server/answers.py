"""How a well-behaved server answers: tokens one by one as they are due, each in a write of its own.

A token is due at a time that is fixed when its request is admitted: the first after the ttft, each next
one a tpot later. A server that was stopped meanwhile sends what is overdue at once. Knows nothing of
sockets; see `calls` for what a script is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from benchmarks.reference_server.asked import Asked
from benchmarks.reference_server.calls import ADMITTED, WRITABLE, Call, Pace, Script
from benchmarks.reference_server.events import DONE, WORDS, Events, embedding_body, generated_body
from benchmarks.reference_server.http_messages import LAST_CHUNK, STREAM_HEAD, chunk, whole_answer
from benchmarks.reference_server.lateness import BUCKET_NS

_NUM_WORDS = len(WORDS)


def deliver(call: Call, data: bytes) -> Script:
    """Hand all of it to the socket, however long the client takes to read."""
    while data:
        try:
            data = data[call.send(data) :]
        except BlockingIOError:
            yield WRITABLE
            continue
        if data:
            yield WRITABLE


def plain(call: Call, answer: bytes, status: int) -> Script:
    """An answer that needs no time."""
    call.status = status
    yield from deliver(call, answer)


def stream(call: Call, pace: Pace) -> Script:
    """Server-sent events, as OpenAI and vLLM send them."""
    events = yield from open_stream(call, pace)
    yield from send_tokens(call, pace, events, num_planned(call, pace))
    yield from end_stream(call, events)


def open_stream(
    call: Call, pace: Pace, *, head: bytes = STREAM_HEAD, frame: Callable[[bytes], bytes] = chunk
) -> Generator[int, None, Events]:
    """Send the head at once, as vLLM does, and wait until the first token is due.

    A chat's first event has the role and an empty text. It leaves right before the first token.
    """
    asked = asked_by(call)
    call.status = 200
    yield from deliver(call, head)
    yield from admit(call, pace)
    events = Events(asked, call.number)
    yield call.due_ns
    if asked.is_chat:
        yield from deliver(call, frame(events.role()))
    return events


def end_stream(call: Call, events: Events) -> Script:
    """What follows the last token, in one write: finish_reason, the usage if it was asked for, [DONE]."""
    yield from deliver(call, events.ending(call.num_tokens) + chunk(DONE) + LAST_CHUNK)


def admit(call: Call, pace: Pace) -> Script:
    """Wait for a place; then it is known when the first token is due."""
    yield ADMITTED
    assert call.start_ns is not None
    call.due_ns = call.start_ns + pace.delays.first_ns(asked_by(call).num_prompt_tokens)
    call.first_due_ns = call.due_ns


def send_tokens(call: Call, pace: Pace, events: Events, num_tokens: int) -> Script:
    """Send tokens as they are due. This is the loop that decides what the server costs."""
    send, clock, next_gap_ns = call.send, pace.clock, pace.delays.next_gap_ns
    late, opening, words = pace.lateness.fine, events.framed_opening, events.framed_words
    due_ns, index, last = call.due_ns, call.num_tokens, call.num_tokens + num_tokens
    num_sent = 0
    now_ns = first_ns = clock()
    try:
        while index < last:
            if due_ns > now_ns:
                yield due_ns
            now_ns = clock()
            event = opening + words[index % _NUM_WORDS]
            try:
                num_bytes = send(event)
            except BlockingIOError:
                num_bytes = 0
            if num_bytes < len(event):
                yield WRITABLE
                yield from deliver(call, event[num_bytes:])
                now_ns = clock()
            try:
                late[(now_ns - due_ns) // BUCKET_NS] += 1
            except IndexError:
                pace.lateness.add(now_ns - due_ns)
            if not num_sent:
                first_ns = now_ns
            num_sent += 1
            index += 1
            due_ns += next_gap_ns()
    finally:
        call.due_ns = due_ns
        call.count(num_sent, first_ns, now_ns)


def whole(call: Call, pace: Pace) -> Script:
    """The answer in one piece, when a stream's last token would be due; an embedding after the ttft."""
    body = body_of(call, pace)
    yield from wait_for_body(call, pace)
    yield from send_body(call, pace, whole_answer(body))


def body_of(call: Call, pace: Pace) -> bytes:
    asked = asked_by(call)
    if asked.is_embedding:
        return embedding_body(asked, pace.settings.num_embedding_dimensions)
    return generated_body(asked, call.number, num_planned(call, pace))


def wait_for_body(call: Call, pace: Pace) -> Script:
    yield from admit(call, pace)
    for _ in range(num_planned(call, pace) - 1):
        call.due_ns += pace.delays.next_gap_ns()
    yield call.due_ns


def send_body(call: Call, pace: Pace, answer: bytes) -> Script:
    call.status = 200
    now_ns = pace.clock()
    pace.lateness.add(now_ns - call.due_ns)
    yield from deliver(call, answer)
    call.count(num_planned(call, pace), now_ns, now_ns)


def num_planned(call: Call, pace: Pace) -> int:
    """Tokens of the whole answer."""
    asked = asked_by(call)
    return 0 if asked.is_embedding else asked.max_tokens or pace.settings.output_tokens


def asked_by(call: Call) -> Asked:
    assert call.asked is not None  # requests that ask nothing are answered by `plain`
    return call.asked
