"""A client that could explain what it reports says so; one that could not is believed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.records import ClientSample, Outcome, Record
from benchmarks.summary.certification import Certification, certify

S = 10**9
MS = 10**6
NUM = 2000
DURATION_S = 20.0


def answers(ttft_ms: float = 50.0, itl_ms: float = 10.0, num: int = NUM) -> list[Record]:
    """Requests of two workers, dispatched 20 us late; each streams 11 pieces."""
    rng = np.random.default_rng(5)
    records = []
    for index in range(num):
        due_ns = round(index * DURATION_S / num * S)
        first_ns = due_ns + round(ttft_ms * MS * rng.uniform(0.9, 1.1))
        gaps_us = [round(gap) for gap in itl_ms * 1000 * rng.uniform(0.9, 1.1, 10)]
        last_ns = first_ns + sum(gaps_us) * 1000
        records.append(
            Record(
                index=index,
                entry="chat",
                worker=index % 2,
                outcome=Outcome.OK,
                intended_ns=due_ns,
                sent_ns=due_ns + 20_000,
                first_token_ns=first_ns,
                last_token_ns=last_ns,
                end_ns=last_ns,
                is_stream=True,
                gaps_us=gaps_us,
                num_pieces=11,
            )
        )
    return records


def sample(worker: int, at_s: float, **changes: Any) -> ClientSample:
    fields: dict[str, Any] = {
        "worker": worker,
        "at_s": at_s,
        "num_sent": 50,
        "num_ended": 50,
        "num_in_flight": 10,
        "num_connections": 10,
        "cpu": 0.3,
        "cpu_wait": 0.01,
        "lag_max_ms": 0.4,
        "lag_p50_ms": 0.03,
        "lag_p99_ms": 0.2,
        "lag_p95_ms": 0.1,
    }
    return ClientSample(**fields | changes)


def samples(**changes: Any) -> list[ClientSample]:
    """Both workers' seconds, all alike."""
    return [sample(worker, second + 1.0, **changes) for second in range(21) for worker in (0, 1)]


def certified(records: list[Record], of_client: list[ClientSample], **options: Any) -> Certification:
    settings: dict[str, Any] = {"start_s": 0.0, "end_s": DURATION_S, "is_closed_loop": False}
    return certify(records, of_client, **settings | options)


def the_reason(certification: Certification) -> str:
    assert not certification.is_valid
    (reason,) = certification.reasons
    return reason


def late(records: list[Record], by_ms: float, which: slice = slice(None)) -> list[Record]:
    """The client sends these later, and everything comes so much later."""
    for record in records[which]:
        shift = round(by_ms * MS)
        assert record.sent_ns is not None
        assert record.first_token_ns is not None
        assert record.last_token_ns is not None
        record.sent_ns += shift
        record.first_token_ns += shift
        record.last_token_ns += shift
        record.end_ns += shift
    return records


def test_a_client_that_kept_up_is_believed() -> None:
    found = certified(answers(), samples())
    assert found.is_valid, found.reasons
    assert found.reasons == ()
    names = [figure.figure for figure in found.figures]
    assert names == [f"{metric} p{p}" for metric in ("ttft", "itl", "tpot", "e2e") for p in (50, 95, 99)]
    assert found.client.num_workers == 2
    assert found.client.dispatch_p99_ms == pytest.approx(0.02)
    assert found.client.lag_max_ms == 0.4
    assert found.client.cpu_max == 0.3


def test_the_share_of_late_dispatch_is_what_it_is() -> None:
    found = certified(late(answers(), 10.0), samples())
    of = {figure.figure: figure for figure in found.figures}
    assert of["ttft p50"].dispatch_ms == pytest.approx(10.02, abs=0.1)
    assert of["ttft p50"].lag_ms == pytest.approx(0.03, abs=0.01)
    assert of["itl p99"].dispatch_ms == 0
    assert of["tpot p99"].dispatch_ms == 0
    assert not found.is_valid
    assert [reason.split(" is ")[0] for reason in found.reasons] == [
        f"{metric} p{percentile}" for metric in ("ttft", "e2e") for percentile in (50, 95, 99)
    ]
    assert "could explain 10.05 ms (16.7%)" in found.reasons[0]


def test_a_few_late_requests_explain_only_the_tail_that_they_make() -> None:
    """Three in a hundred are 100 ms late: they are the p99, and nothing else."""
    records = answers()
    for index in range(0, NUM, 33):
        late(records, 100.0, slice(index, index + 1))
    found = certified(records, samples())
    bad = [figure.figure for figure in found.figures if figure.share > 0.05]
    assert bad == ["ttft p99", "e2e p99"]


def test_the_delay_of_others_is_found_in_the_percentile_that_it_moves() -> None:
    """Late and slow requests are different ones: p95 of the delay is 0, and it makes the p95 all the same."""
    records = answers()
    for index in range(0, NUM, 33):  # 3 %: slow by the server
        record = records[index]
        assert record.first_token_ns is not None
        record.first_token_ns += 100 * MS
    for index in range(1, NUM, 25):  # 4 %: late by the client
        late(records, 100.0, slice(index, index + 1))
    shares = {figure.figure: figure.share for figure in certified(records, samples()).figures}
    assert shares["ttft p95"] > 0.4


def test_a_late_loop_explains_gaps_before_it_explains_long_times() -> None:
    found = certified(answers(), samples(lag_p99_ms=1.5, lag_max_ms=2.0))
    assert the_reason(found).startswith("itl p99 is 10.98 ms, of which the client could explain 1.50 ms")


def test_without_a_p95_the_p99_of_the_lag_stands_in() -> None:
    found = certified(answers(), samples(lag_p99_ms=1.5, lag_max_ms=2.0, lag_p95_ms=None))
    assert [reason.split(" is ")[0] for reason in found.reasons] == ["itl p95", "itl p99"]


def test_lag_counts_for_the_worker_and_second_that_had_it() -> None:
    """Worker 1 stood still for half of one second: 1.25 % of the requests, those which are the p99."""
    records = answers()
    held = [r for r in records if r.worker == 1 and 9 * S < (r.first_token_ns or 0) <= 10 * S]
    for record in held[: len(held) // 2]:
        assert record.first_token_ns is not None
        record.first_token_ns += 30 * MS
    bad = {"lag_max_ms": 500.0, "lag_p99_ms": 500.0, "lag_p95_ms": 300.0}
    stopped = [*samples()[:18], sample(0, 10.0), sample(1, 10.0, **bad), *samples()[20:]]
    shares = {figure.figure: figure.share for figure in certified(records, stopped).figures}
    assert shares["ttft p99"] > 0.05
    assert shares["ttft p50"] < 0.05
    other = [*samples()[:18], sample(0, 10.0, **bad), sample(1, 10.0), *samples()[20:]]
    calm = [r for r in records if r.worker == 1]
    assert all(figure.share < 0.05 for figure in certified(calm, other).figures)


def test_a_long_stop_counts_for_the_part_of_the_second_that_it_took() -> None:
    """One late tick among a hundred hides in p95 and p99, but every request in these 200 ms was late."""
    found = certified(answers(), samples(lag_max_ms=200.0))
    shares = {figure.figure: figure.share for figure in found.figures}
    assert shares["ttft p50"] < 0.05
    assert shares["ttft p95"] > 0.9
    assert shares["ttft p99"] > 0.9


def test_a_busy_worker_is_a_queue() -> None:
    busy = [sample(0, second + 1.0, cpu=0.97 if second < 3 else 0.3) for second in range(21)]
    found = certified(answers(), busy + [s for s in samples() if s.worker == 1])
    assert the_reason(found).startswith("worker 0 used more than 90% of a core in 3 of 21 s (97% at most)")


def test_one_busy_second_of_many_is_not() -> None:
    one = [sample(0, 1.0, cpu=0.97, num_sent=0, num_ended=5), *samples()[1:]]
    assert certified(answers(), one).is_valid


def test_seconds_before_the_window_do_not_count() -> None:
    busy = [sample(0, second + 1.0, cpu=0.97 if second < 3 else 0.3) for second in range(21)]
    assert certified(answers(), busy + [s for s in samples() if s.worker == 1], start_s=4.0).is_valid


def test_waiting_for_a_core_is_noted() -> None:
    found = certified(answers(), samples(cpu_wait=0.25))
    assert found.is_valid
    assert any("waited for a core for 25% of a second" in note for note in found.notes)
    assert found.client.cpu_wait_max == 0.25
    assert certified(answers(), samples(cpu_wait=None)).client.cpu_wait_max is None


def test_workers_that_failed_are_named() -> None:
    found = certified(answers(), samples(), faults=["worker 1 ended with -9"])
    assert the_reason(found) == "a worker failed: worker 1 ended with -9"


def test_a_silent_worker_cannot_be_certified() -> None:
    only_one = [s for s in samples() if s.worker == 0]
    assert "worker 1 told nothing of itself, so" in the_reason(certified(answers(), only_one))
    gone = [s for s in samples() if s.worker == 0 or s.at_s < 12]
    assert the_reason(certified(answers(), gone)).startswith("worker 1 told nothing of itself for 9.")
    assert not certified(answers(), []).is_valid


def test_a_worker_that_was_done_early_is_no_silent_one() -> None:
    records = [record for record in answers() if record.worker == 0 or record.intended_ns < 5 * S]
    for index, record in enumerate(records):
        record.index = index
    done = [s for s in samples() if s.worker == 0 or s.at_s < 6.5]
    assert certified(records, done).is_valid


def test_requests_that_never_left_are_told() -> None:
    records = answers()
    for record in records[100:112]:
        record.outcome, record.sent_ns, record.first_token_ns, record.gaps_us = (
            Outcome.INTERRUPTED,
            None,
            None,
            [],
        )
    assert "12 of 2,000 requests that were due never left the client" in the_reason(
        certified(records, samples())
    )


def test_requests_without_a_record_are_told() -> None:
    records = answers()
    del records[100:103]
    assert the_reason(certified(records, samples())) == "3 requests of the schedule left no record"
    assert certified(records, samples(), is_closed_loop=True).is_valid


def test_a_schedule_that_slipped_is_another_load() -> None:
    """Answers take 10 s, so lateness explains little of them; but 2 % of the load left after its window."""
    records = answers(ttft_ms=10_000.0)
    for index, record in enumerate(records):
        assert record.sent_ns is not None
        record.sent_ns += round(0.02 * index / NUM * DURATION_S * S)
    found = certified(records, samples() + [sample(w, t + 22.0) for t in range(12) for w in (0, 1)])
    assert any("the schedule slipped" in reason and "of 2,000" in reason for reason in found.reasons)


def test_a_request_that_left_early_is_told() -> None:
    records = answers()
    assert records[7].sent_ns is not None
    records[7].sent_ns -= 2 * MS
    assert the_reason(certified(records, samples())) == "1 requests left more than 1 ms before they were due"


def test_the_clients_own_limits_are_no_faults_of_the_server() -> None:
    records = answers()
    for record in records[:5]:
        record.outcome, record.first_token_ns, record.sent_ns, record.gaps_us = (
            Outcome.CONNECT,
            None,
            None,
            [],
        )
        record.detail = "no connection: [Errno 24] Too many open files"
    assert "Too many open files" in the_reason(certified(records, samples()))
    for record in records[:5]:
        record.detail = "no connection: [Errno 111] Connection refused"
    assert certified(records, samples()).is_valid


def test_connections_are_noted_and_not_the_clients_delay() -> None:
    records = late(answers(), 5.0)
    for record in records:
        record.connect_ns = 5 * MS
    found = certified(records, samples())
    assert found.is_valid
    assert any("100% of the requests opened a connection (5.00 ms" in note for note in found.notes)


def test_a_closed_loop_says_that_its_latencies_are_none() -> None:
    found = certified(answers(), samples(), is_closed_loop=True)
    assert found.is_valid
    assert any("coordinated omission" in note for note in found.notes)


def test_percentiles_that_are_not_known_are_not_judged() -> None:
    records = answers()
    for record in records[::12]:
        record.outcome, record.first_token_ns, record.gaps_us = Outcome.RESET, None, []
    names = [figure.figure for figure in certified(records, samples()).figures]
    assert "ttft p50" in names
    assert "ttft p95" not in names
    assert "itl p99" in names, "one gap that never came, of each, is less than a hundredth of all gaps"


def test_each_entry_of_a_mix_is_judged_by_itself() -> None:
    records = answers()
    for record in records[::2]:
        record.entry = "short"
        record.worker = 0
        assert record.sent_ns is not None
        record.first_token_ns = record.sent_ns + 1 * MS
    names = [figure.figure for figure in certified(records, samples()).figures if figure.share > 0.05]
    assert "short ttft p99" in names
    assert "chat ttft p99" not in names


def test_an_empty_window_certifies_nothing() -> None:
    assert "no request arrived" in the_reason(certified([], samples()))


def test_a_simulation_has_no_client_to_be_judged() -> None:
    certification = certify((), None, start_s=0.0, end_s=10.0, is_closed_loop=False)
    assert certification.is_valid
    assert certification.client.num_workers == 0
    assert certification.figures == ()
