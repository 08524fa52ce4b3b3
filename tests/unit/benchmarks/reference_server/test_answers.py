"""Scripts, run by a clock and a socket that obey the test."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.reference_server.asked import Asked
from benchmarks.reference_server.calls import ADMITTED, ENDED, WRITABLE, Call, Pace
from benchmarks.reference_server.delays import Delays
from benchmarks.reference_server.faults import script_for
from benchmarks.reference_server.lateness import Lateness
from benchmarks.reference_server.settings import Settings

MS = 1_000_000
START = 1_000 * MS


class Stage:
    """One call whose time and whose socket the test decides."""

    def __init__(self, *, settings: Settings | None = None, **asked: Any) -> None:
        self.now_ns = START
        self.sent: list[tuple[int, bytes]] = []  # when, what
        self.num_writable: int | None = None  # bytes that the socket takes; None: all
        settings = settings or Settings(ttft_ms=20, tpot_ms=5)
        self.pace = Pace(settings, Delays(settings), Lateness(), lambda: self.now_ns)
        self.call = Call(1, 0, self.send, START, START)
        fields = {"path": "/", "model": "m", "num_prompt_tokens": 1, "is_chat": True, "is_stream": True}
        self.call.asked = Asked(**(fields | asked))
        self.script = script_for(self.call, self.pace)
        self.call.script = self.script

    def send(self, data: bytes) -> int:
        if self.num_writable is not None:
            if not self.num_writable:
                raise BlockingIOError
            data = data[: self.num_writable]
            self.num_writable -= len(data)
        self.sent.append((self.now_ns, data))
        return len(data)

    def resume(self) -> int:
        return next(self.script, ENDED)

    def play(self, *, until_ns: int | None = None) -> None:
        """Run it on time, to its end or to the first time that it asks for after `until_ns`."""
        while (wish := self.resume()) != ENDED:
            if wish == ADMITTED:
                self.call.start_ns = self.now_ns
            else:
                assert wish > 0
                if until_ns is not None and wish > until_ns:
                    return
                self.now_ns = max(self.now_ns, wish)

    def texts(self) -> list[tuple[float, bytes]]:
        """Tokens with the milliseconds at which they left."""
        return [((at - START) / MS, data) for at, data in self.sent if b'"content":" ' in data]


def test_each_token_leaves_in_a_write_of_its_own_when_it_is_due() -> None:
    stage = Stage(max_tokens=4)
    stage.play()
    assert [at for at, _ in stage.texts()] == [20, 25, 30, 35]
    call = stage.call
    assert (call.first_token_ns, call.last_token_ns) == (START + 20 * MS, START + 35 * MS)
    assert (call.num_tokens, call.first_due_ns, call.status) == (4, START + 20 * MS, 200)


def test_the_head_leaves_at_once_and_the_role_right_before_the_first_token() -> None:
    stage = Stage(max_tokens=1)
    stage.play()
    (head_at, head), (role_at, role), (first_at, _), (end_at, end) = stage.sent
    assert head_at == START
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"role":"assistant","content":""' in role
    assert role_at == first_at == end_at == START + 20 * MS
    assert end.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_role_first_sends_the_role_long_before_the_first_token() -> None:
    stage = Stage(model="role-first", max_tokens=2)
    stage.play()
    at, data = stage.sent[0]
    assert at == START
    assert b'"role":"assistant"' in data
    assert [at for at, _ in stage.texts()] == [20, 25]


def test_a_wait_in_the_queue_comes_before_the_first_delay() -> None:
    stage = Stage(max_tokens=1)
    assert stage.resume() == ADMITTED
    stage.now_ns = stage.call.start_ns = START + 100 * MS
    assert stage.resume() == START + 120 * MS


def test_after_a_stop_what_is_overdue_leaves_at_once_in_separate_writes_and_the_rest_on_time() -> None:
    stage = Stage(max_tokens=5)
    stage.play(until_ns=START + 20 * MS)
    stage.now_ns = START + 32 * MS  # the process was stopped
    stage.play()
    assert [at for at, _ in stage.texts()] == [20, 32, 32, 35, 40]
    assert stage.pace.lateness.quantile_ms(1.0) == pytest.approx(7.01)


def test_a_client_that_does_not_read_delays_tokens_and_loses_none() -> None:
    stage = Stage(max_tokens=3)
    stage.play(until_ns=START + 20 * MS)
    stage.now_ns = START + 25 * MS
    stage.num_writable = 10
    assert stage.resume() == WRITABLE
    stage.now_ns = START + 26 * MS
    stage.num_writable = 0
    assert stage.resume() == WRITABLE
    stage.now_ns = START + 28 * MS
    stage.num_writable = None
    stage.play()
    whole = b"".join(data for _, data in stage.sent)
    assert [whole.count(word) for word in (b" amber", b" birch", b" cedar", b" delta")] == [1, 1, 1, 0]
    assert stage.call.num_tokens == 3
    # The second was late by 3 ms: it counts when its last byte was handed over.
    assert stage.pace.lateness.quantile_ms(1.0) == pytest.approx(3.01)


def test_a_client_that_leaves_keeps_the_count_of_what_it_was_sent() -> None:
    stage = Stage(max_tokens=10)
    stage.play(until_ns=START + 30 * MS)
    stage.script.close()
    assert stage.call.num_tokens == 3
    assert stage.call.last_token_ns == START + 30 * MS


def test_an_answer_in_one_piece_leaves_when_the_last_token_would_be_due() -> None:
    stage = Stage(is_stream=False, max_tokens=4)
    stage.play()
    ((at, answer),) = stage.sent
    assert at == START + 35 * MS
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (stage.call.num_tokens, stage.call.first_token_ns) == (4, at)


def test_an_embedding_leaves_after_the_ttft_and_has_no_tokens() -> None:
    stage = Stage(is_chat=False, is_stream=False, is_embedding=True)
    stage.play()
    ((at, _),) = stage.sent
    assert at == START + 20 * MS
    assert (stage.call.num_tokens, stage.call.first_token_ns) == (0, None)


def test_joined_tokens_leave_when_the_last_of_a_write_is_due() -> None:
    stage = Stage(model="joined", max_tokens=6)
    stage.play()
    assert [(at, data.count(b'"content":" ')) for at, data in stage.texts()] == [(35, 4), (45, 2)]
    assert stage.call.num_tokens == 6


def test_split_cuts_events_within_a_character() -> None:
    stage = Stage(model="split", max_tokens=1)
    stage.play()
    first, second = stage.sent[2][1], stage.sent[3][1]
    assert first.rpartition(b"\r\n")[0].endswith("\N{HIRAGANA LETTER A}".encode()[:1])
    assert not second.startswith(b"\r\n")
    assert stage.call.first_token_ns == stage.sent[3][0] > stage.sent[2][0]


def test_a_stream_without_end_pauses_even_when_tokens_take_no_time() -> None:
    stage = Stage(model="never-ends", settings=Settings(ttft_ms=0, tpot_ms=0))
    stage.play(until_ns=START + 50 * MS)
    assert 10 <= stage.call.num_tokens <= 52
