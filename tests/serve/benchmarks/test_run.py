"""Whole runs against the reference server: what its faults become, and that nothing is lost or hangs."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.errors import BadTarget
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.records import Outcome
from benchmarks.reference_server.process import ReferenceServer, running
from benchmarks.run.execute import INTERRUPTED, Prepared, Run, RunOptions, execute, read_run
from benchmarks.run.progress import Progress
from benchmarks.target import Target
from configs.load import parse_workload


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    with running(ttft_ms=5, tpot_ms=1) as started:
        yield started


@pytest.fixture
def run(server: ReferenceServer, tmp_path: Path) -> Callable[..., Run]:
    """Makes a short run; arguments are the workload's keys, and `model`, `url` and `options`."""

    def make(
        *,
        model: str = "reference",
        url: str | None = None,
        options: RunOptions | None = None,
        **document: Any,
    ) -> Run:
        given = {
            "duration_s": 0.5,
            "arrivals": {"process": "constant", "rate_rps": 20},
            "requests": [{"kind": "chat", "prompt_tokens": 8, "output_tokens": 8}],
            "warm_up_s": 0,
            "timeout_s": 2,
        }
        prepared = Prepared(Target(url or server.url, model), prepare_prompts(1, []))
        return execute(parse_workload(given | document), prepared, tmp_path / "run", options)

    return make


def outcomes(run: Run) -> Counter[Outcome]:
    return Counter(record.outcome for record in run.records)


def test_every_request_leaves_one_record(run: Callable[..., Run]) -> None:
    made = run()
    assert outcomes(made) == {Outcome.OK: 10}
    assert sorted(record.index for record in made.records) == list(range(10))
    for record in made.records:
        assert record.num_pieces == record.num_output_tokens == 8
        assert len(record.gaps_us) == 7
        assert record.sent_ns is not None
        assert record.first_token_ns is not None
        assert record.last_token_ns is not None
        assert record.intended_ns <= record.sent_ns < record.first_token_ns
        # Not before, and on a busy machine perhaps together with it: what waits in the socket is read at once.
        assert record.first_token_ns <= record.last_token_ns <= record.end_ns
        gaps_us = (record.last_token_ns - record.first_token_ns) / 1000
        assert sum(record.gaps_us) == pytest.approx(gaps_us, abs=len(record.gaps_us))


def test_a_run_names_our_own_files_as_any_checkout_has_them(
    run: Callable[..., Run], repository: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("What is a manta?")
    files = [repository / "configs/workloads/questions.txt", mine]
    requests = [{"kind": "chat", "name": path.stem, "texts": str(path), "output_tokens": 8} for path in files]
    workload = json.loads((run(requests=requests).folder / "run.json").read_text())["workload"]
    assert [one["texts"] for one in workload["requests"]] == ["configs/workloads/questions.txt", str(mine)]


def test_a_folder_can_be_read_back(run: Callable[..., Run]) -> None:
    made = run()
    again = read_run(made.folder)
    assert again.records == made.records
    assert again.summary.to_json() == made.summary.to_json()
    assert {path.name for path in made.folder.iterdir()} == {
        "run.json",
        "summary.json",
        "records.jsonl",
        "client.jsonl",
    }


@pytest.mark.parametrize(
    ("fault", "outcome", "num_pieces"),
    [
        ("half", Outcome.TRUNCATED, 4),
        ("no-done", Outcome.TRUNCATED, 8),
        ("silent", Outcome.TIMEOUT, 0),
        ("no-usage", Outcome.OK, 8),
        ("reset", Outcome.RESET, 4),
        ("error-500", Outcome.HTTP_ERROR, 0),
        ("error-429", Outcome.REFUSED, 0),
        ("error-event", Outcome.STREAM_ERROR, 4),
        ("bad-json", Outcome.PROTOCOL, None),
        ("bad-http", Outcome.PROTOCOL, 0),
        ("slow-headers", Outcome.OK, 8),
        ("joined", Outcome.OK, 8),
        ("split", Outcome.OK, 8),
        ("no-chunking", Outcome.OK, 8),
        ("keepalive-close", Outcome.OK, 8),
        ("role-first", Outcome.OK, 8),
    ],
)
def test_faults_have_outcomes(
    run: Callable[..., Run], fault: str, outcome: Outcome, num_pieces: int | None
) -> None:
    # Short only where it is to pass: a busy machine takes long for anything.
    made = run(model=fault, timeout_s=2 if outcome is Outcome.TIMEOUT else 60)
    assert outcomes(made) == {outcome: 10}
    if num_pieces is not None:
        assert {record.num_pieces for record in made.records} == {num_pieces}
    if outcome is not Outcome.OK:
        assert all(record.detail for record in made.records)


def test_a_stream_that_never_ends_is_timed_out_with_its_tokens(run: Callable[..., Run]) -> None:
    made = run(model="never-ends", timeout_s=1)
    assert outcomes(made) == {Outcome.TIMEOUT: 10}
    for record in made.records:
        assert record.num_pieces > 8
        # The loop's timers count whole milliseconds from the last time that it looked at the clock.
        assert record.end_ns > record.intended_ns + 990_000_000


def test_tokens_joined_in_one_write_have_no_gap(run: Callable[..., Run]) -> None:
    gaps = Counter(gap for record in run(model="joined").records for gap in record.gaps_us)
    # 8 tokens in two writes of four; on a starved machine both can have come before the client looks.
    assert 10 * 6 <= gaps[0] <= 10 * 7


def test_no_usage_is_no_count(run: Callable[..., Run]) -> None:
    assert {record.num_output_tokens for record in run(model="no-usage").records} == {None}


def test_abandoned_requests_are_abandoned(run: Callable[..., Run]) -> None:
    requests = [
        {"kind": "chat", "model": "never-ends", "abandon": {"fraction": 1.0, "after_s": 0.2}},
    ]
    assert outcomes(run(requests=requests)) == {Outcome.ABANDONED: 10}


def test_a_mix(run: Callable[..., Run]) -> None:
    requests = [
        {"kind": "chat", "output_tokens": 4},
        {"kind": "completions", "output_tokens": 4},
        {"kind": "chat", "name": "whole", "stream": False, "output_tokens": 4},
        {"kind": "embeddings", "num_inputs": 3},
    ]
    made = run(requests=requests, arrivals={"process": "constant", "rate_rps": 100})
    assert outcomes(made) == {Outcome.OK: 50}
    assert {record.entry for record in made.records} == {"chat", "completions", "whole", "embeddings"}
    for record in made.records:
        is_stream = record.entry in ("chat", "completions")
        assert record.is_stream == is_stream == (record.first_token_ns is not None)
        assert record.num_prompt_tokens


def test_later_turns_follow_their_answers(run: Callable[..., Run]) -> None:
    requests = [{"kind": "chat", "prompt_tokens": 5, "output_tokens": 4, "turns": 3, "think_time_s": 0.05}]
    made = run(requests=requests, duration_s=1.5, arrivals={"process": "constant", "rate_rps": 4})
    sessions: dict[int, dict[int, Any]] = {}
    for record in made.records:
        sessions.setdefault(record.session, {})[record.turn] = record
    whole = [turns for turns in sessions.values() if len(turns) == 3]
    assert whole
    for turns in whole:
        for turn in (1, 2):
            assert turns[turn].intended_ns >= turns[turn - 1].end_ns + 50_000_000
            # The conversation so far is sent again: the prompt grows.
            assert turns[turn].num_prompt_tokens > turns[turn - 1].num_prompt_tokens


def test_a_closed_loop_keeps_its_places_busy(run: Callable[..., Run]) -> None:
    made = run(arrivals={"process": "closed", "concurrency": 3}, options=RunOptions(num_workers=2))
    assert outcomes(made).keys() == {Outcome.OK}
    events = sorted(
        [(record.intended_ns, 1) for record in made.records]
        + [(record.end_ns, -1) for record in made.records]
    )
    running_now, most = 0, 0
    for _, change in events:
        running_now += change
        most = max(most, running_now)
    assert most == 3
    assert len(made.records) > 6


def test_a_closed_loop_with_a_number_of_sessions_ends_with_the_last_one(run: Callable[..., Run]) -> None:
    made = run(
        arrivals={"process": "closed", "concurrency": 3, "max_sessions": 7},
        duration_s=600,
        options=RunOptions(num_workers=2),
    )
    assert outcomes(made) == {Outcome.OK: 7}
    assert sorted(record.index for record in made.records) == list(range(7))
    arrivals_end_s = made.settings["arrivals_end_s"]
    assert isinstance(arrivals_end_s, float)
    assert arrivals_end_s < 60  # the figures are of the time that it took, not of the time that it had


def test_workers_share_the_schedule(run: Callable[..., Run]) -> None:
    made = run(options=RunOptions(num_workers=3))
    assert sorted(record.index for record in made.records) == list(range(10))
    assert {record.worker for record in made.records} == {0, 1, 2}


def test_nobody_listens(run: Callable[..., Run], free_port: Callable[[], int]) -> None:
    made = run(url=f"http://127.0.0.1:{free_port()}")
    assert outcomes(made) == {Outcome.CONNECT: 10}


def test_a_name_that_is_none(run: Callable[..., Run]) -> None:
    with pytest.raises(BadTarget, match=r"nowhere\.invalid"):
        run(url="http://nowhere.invalid:80")


def test_the_same_workload_is_the_same_to_the_bit(run: Callable[..., Run]) -> None:
    digests = {
        json.dumps(run(arrivals={"process": "poisson", "rate_rps": 20}).settings["schedule"]) for _ in "ab"
    }
    assert len(digests) == 1


def test_a_run_can_be_stopped_and_keeps_what_it_has(run: Callable[..., Run]) -> None:
    def stop(progress: Progress) -> str | None:
        return "enough" if progress.num_ended >= 5 else None

    made = run(duration_s=60, options=RunOptions(stop_when=stop))
    assert made.settings["stopped_because"] == "enough"
    assert outcomes(made)[Outcome.OK] >= 5
    assert len(made.records) < 1200


def test_ctrl_c_keeps_what_was_measured(run: Callable[..., Run]) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.num_ended >= 5:
            os.kill(os.getpid(), signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    # A shell that runs the tests in the background has them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        made = run(duration_s=60, options=RunOptions(on_progress=interrupt))
    finally:
        signal.signal(signal.SIGINT, before)
    assert made.settings["stopped_because"] == INTERRUPTED
    assert outcomes(made)[Outcome.OK] >= 5
    assert (made.folder / "summary.json").exists()


def test_a_killed_worker_is_told_and_loses_little(run: Callable[..., Run]) -> None:
    others = psutil.Process().children()
    workers: list[psutil.Process] = []

    def kill_one(progress: Progress) -> None:
        if not workers:
            workers.extend(child for child in psutil.Process().children() if child not in others)
        if progress.at_s > 2 and workers[0].is_running():
            workers[0].kill()

    made = run(
        duration_s=4,
        arrivals={"process": "constant", "rate_rps": 20},
        options=RunOptions(num_workers=2, on_progress=kill_one),
    )
    assert not made.summary.certification.is_valid
    assert sorted(record.index for record in made.records) == list(range(80))
    assert outcomes(made)[Outcome.OK] >= 40 + 10
    assert outcomes(made)[Outcome.INTERRUPTED] > 0


def test_a_dead_parent_ends_its_workers(server: ReferenceServer, tmp_path: Path) -> None:
    """A load that nobody watches any more must not go on."""
    import subprocess
    import sys

    script = f"""
import os, sys
from pathlib import Path
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.run.execute import Prepared, RunOptions, execute
from benchmarks.target import Target
from configs.load import parse_workload
workload = parse_workload({{"duration_s": 60, "arrivals": {{"process": "constant", "rate_rps": 20}}}})
die = lambda progress: os._exit(7) if progress.num_ended else None
execute(workload, Prepared(Target({server.url!r}, "reference"), prepare_prompts(1, [])), Path({str(tmp_path)!r}),
        RunOptions(on_progress=die))
"""
    parent = subprocess.Popen([sys.executable, "-c", script])
    seen: set[int] = set()
    while parent.poll() is None:
        try:
            seen |= {child.pid for child in psutil.Process(parent.pid).children()}
        except psutil.NoSuchProcess:
            break
    assert parent.wait(timeout=60) == 7
    assert seen
    gone, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in seen if psutil.pid_exists(pid)], timeout=30
    )
    assert not alive, gone


class _OncePerConnection(socketserver.BaseRequestHandler):
    """Answers a connection's first request, and closes at its second: keep-alive's end, met late."""

    EVENTS = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\ndata: [DONE]\n\n'
    ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%s"

    def handle(self) -> None:
        if self._reads_request():
            self.request.sendall(self.ANSWER % (len(self.EVENTS), self.EVENTS))
            self._reads_request()

    def _reads_request(self) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.request.recv(65536)
            if not part:
                return False
            head += part
        head, _, body = head.partition(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        while len(body) < length:
            body += self.request.recv(65536)
        return True


def test_a_request_that_meets_a_closed_connection_goes_out_on_a_new_one(run: Callable[..., Run]) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OncePerConnection) as once:
        once.daemon_threads = True
        thread = threading.Thread(target=once.serve_forever)
        thread.start()
        try:
            made = run(
                url=f"http://127.0.0.1:{once.server_address[1]}",
                arrivals={"process": "closed", "concurrency": 4, "max_sessions": 40},
                duration_s=30,
                timeout_s=30,
            )
        finally:
            once.shutdown()
            thread.join()
    assert set(outcomes(made)) == {Outcome.OK}
    assert any(record.is_resent for record in made.records)
