"""The reference server's log has every request, with the times that a client saw."""

from __future__ import annotations

import time

from reference_wire import LAST_CHUNK, Wire, dechunked, only_request, texts

from benchmarks.reference_server.process import ReferenceServer, running
from benchmarks.reference_server.served import Ending, read_log, read_summaries


def test_the_log_has_the_same_clock_and_the_same_count_as_the_client(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        before_ns = time.perf_counter_ns()
        wire.ask("m", request_id="Mine-1", max_tokens=20)
        received = wire.read_until(LAST_CHUNK)
        after_ns = time.perf_counter_ns()
    served = only_request(server)
    assert (served.request_id, served.num_tokens, served.num_prompt_tokens) == ("Mine-1", 20, 3)
    assert (served.ending, served.status, served.is_stream) == (Ending.COMPLETE, 200, True)
    assert served.first_due_ns is not None
    assert served.first_token_ns is not None
    assert served.last_token_ns is not None
    assert served.start_ns is not None
    times = (before_ns, served.first_byte_ns, served.complete_ns, served.start_ns)
    times += (served.first_due_ns, served.first_token_ns, served.last_token_ns, after_ns)
    assert list(times) == sorted(times)
    assert served.end_ns >= served.last_token_ns
    assert served.first_due_ns == served.complete_ns + 4_000_000
    assert served.last_token_ns >= served.first_due_ns + 19 * 1_000_000  # never early
    assert len(texts(dechunked(received)[1])) == 20
    (summary,) = read_summaries(server.log_path)
    assert (summary.num_requests, summary.num_tokens) == (1, 20)
    assert f"served 1 requests with {summary.num_tokens} tokens" in server.said


def test_a_client_that_leaves_is_logged_with_what_it_was_sent(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("never-ends")
        while wire.read_until(b"\n").count(b"data: ") < 1:
            pass
    server.stop()
    (served,) = read_log(server.log_path)
    assert served.ending is Ending.CLIENT_LEFT
    assert served.num_tokens >= 1


def test_a_stopped_server_logs_what_it_left_undone(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("never-ends")
        wire.read_until(b"\n")
        served = only_request(server)
        assert served.ending is Ending.STOPPED
        assert not wire.read_to_close().endswith(LAST_CHUNK)


def test_a_paused_server_reads_nothing_until_it_goes_on(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        server.pause()
        wire.ask("m")
        assert not wire.has_something()
        before_ns = time.perf_counter_ns()
        server.resume()
        wire.read_until(LAST_CHUNK)
    assert only_request(server).first_byte_ns > before_ns


def test_a_paused_server_can_be_stopped(server: ReferenceServer) -> None:
    server.pause()
    server.stop()
    assert "served 0 requests" in server.said


def test_answers_beyond_the_limit_wait_in_order() -> None:
    with running(ttft_ms=3, tpot_ms=1, max_concurrent=1) as server:
        wires = [Wire(server) for _ in range(4)]
        for number, wire in enumerate(wires):
            wire.ask("m", request_id=str(number))
            # The head is sent before the wait: then the request is in the queue.
            wire.read_until(b"\r\n\r\n") if number == 3 else wire.socket.recv(1)
        wires[2].socket.close()  # who leaves the queue holds up nobody
        for number in (0, 1, 3):
            wires[number].read_until(LAST_CHUNK)
            wires[number].socket.close()
        server.stop()
        log = {served.request_id: served for served in read_log(server.log_path)}
    assert log["2"].ending is Ending.CLIENT_LEFT
    assert log["2"].start_ns is None
    for before, after in (("0", "1"), ("1", "3")):
        start_ns = log[after].start_ns
        assert start_ns is not None
        assert start_ns >= log[before].end_ns > log[after].complete_ns


def test_processes_share_a_port_and_a_log() -> None:
    with running(ttft_ms=1, tpot_ms=1, processes=2) as server:
        for _ in range(30):
            with Wire(server) as wire:
                wire.ask("m")
                wire.read_until(LAST_CHUNK)
        server.pause()
        with Wire(server) as wire:
            wire.ask("m")
            assert not wire.has_something()
            server.resume()
            wire.read_until(LAST_CHUNK)
        server.stop()
        assert {summary.process for summary in read_summaries(server.log_path)} == {0, 1}
        assert [line.startswith("served ") for line in server.said.splitlines()] == [True, True]
        # 30 connections that all fall to the same process: one in 2^29.
        assert {served.process for served in read_log(server.log_path)} == {0, 1}
        assert len(read_log(server.log_path)) == 31
