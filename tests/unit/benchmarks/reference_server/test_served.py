"""The log is written whole and read as far as it goes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.reference_server.served import (
    Ending,
    ServedLog,
    ServedRequest,
    ServerSummary,
    read_log,
    read_summaries,
)

SUMMARY = ServerSummary(process=0, num_requests=1, num_tokens=0, cpu_s=0.5, wall_s=1.0)


def request(number: int) -> ServedRequest:
    return ServedRequest(
        number=number,
        process=0,
        path="/v1/completions",
        first_byte_ns=1,
        complete_ns=2,
        end_ns=3,
        ending=Ending.COMPLETE,
        model="m",
    )


def test_what_was_logged_is_read_back(tmp_path: Path) -> None:
    log = ServedLog(tmp_path / "log")
    for number in range(3):
        log.add(request(number))
    log.add(SUMMARY)
    log.close()
    assert read_log(tmp_path / "log") == [request(number) for number in range(3)]
    assert read_summaries(tmp_path / "log") == [SUMMARY]


def test_lines_are_written_when_they_are_many_or_old(tmp_path: Path) -> None:
    log = ServedLog(tmp_path / "log")
    log.flush(now_ns=0)
    log.add(request(0))
    log.flush_when_due(now_ns=10**9)
    assert log.has_lines
    log.flush_when_due(now_ns=10**9 + 1)
    assert not log.has_lines
    for number in range(31):
        log.add(request(number))
    log.flush_when_due(now_ns=10**9 + 2)
    assert log.has_lines
    log.add(request(31))
    log.flush_when_due(now_ns=10**9 + 2)
    assert len(read_log(tmp_path / "log")) == 33
    log.close()


def test_a_half_written_line_is_left_for_later(tmp_path: Path) -> None:
    log = ServedLog(tmp_path / "log")
    log.add(request(0))
    log.add(request(1))
    log.close()
    (tmp_path / "log").write_bytes((tmp_path / "log").read_bytes()[:-5])
    assert read_log(tmp_path / "log") == [request(0)]
    (tmp_path / "log").write_bytes(b"")
    assert read_log(tmp_path / "log") == []


def test_without_a_path_nothing_is_kept() -> None:
    log = ServedLog(None)
    log.add(request(0))
    assert not log.has_lines
    log.close()


def test_a_summary_says_how_late_tokens_were_only_if_there_were_any() -> None:
    assert "late" not in str(SUMMARY)
    late = ServerSummary(0, 1, 100, 0.5, 1.0, late_p50_ms=0.1, late_p99_ms=0.2, late_max_ms=0.3)
    assert "200 tokens per CPU second" in str(late)
    assert "p50 0.10 ms, p99 0.20 ms" in str(late)
