from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.errors import BadTarget
from benchmarks.records import Outcome, Record
from benchmarks.scenarios.calibration import find_pace
from configs.workload import ChatRequest, ClosedLoop, Workload

MakeRecord = Callable[..., Record]
CHAT = ChatRequest(kind="chat")


class Server:
    """Answers from what it is given, by concurrency, and remembers what it was asked."""

    def __init__(self, **records: list[Record]) -> None:
        self._records = records
        self.asked: list[Workload] = []

    def measure(self, workload: Workload) -> list[Record]:
        self.asked.append(workload)
        assert isinstance(workload.arrivals, ClosedLoop)
        return self._records["alone" if workload.arrivals.concurrency == 1 else "together"]


def test_times_come_from_one_alone_and_the_rate_from_many(record: MakeRecord) -> None:
    alone = [record(at, first_s=0.1, end_s=0.5) for at in range(4)]
    together = [record(at / 10, first_s=2.0, end_s=3.0) for at in range(50)]
    server = Server(alone=alone, together=together)
    pace = find_pace(CHAT, 16, 4.0, 30.0, server.measure)
    assert (pace.ttft_ms, pace.tpot_ms, pace.e2e_ms) == (100.0, 100.0, 500.0)
    assert pace.capacity_rps == pytest.approx(50 / 7.9)
    assert [one.duration_s for one in server.asked] == [4.0, 4.0]
    assert server.asked[1].arrivals == ClosedLoop(process="closed", concurrency=16)


def test_one_place_needs_one_loop(record: MakeRecord) -> None:
    server = Server(alone=[record(0, first_s=1.0, end_s=2.0)])
    assert find_pace(CHAT, 1, 4.0, 30.0, server.measure).capacity_rps == pytest.approx(0.5)
    assert len(server.asked) == 1


def test_failed_requests_are_no_capacity(record: MakeRecord) -> None:
    together = [record(0, end_s=1.0)] + [record(0, outcome=Outcome.REFUSED, end_s=0.001)] * 100
    server = Server(alone=[record(0, end_s=4.0)], together=together)
    assert find_pace(CHAT, 16, 4.0, 30.0, server.measure).capacity_rps == pytest.approx(1.0)


def test_a_server_that_only_fails_is_named_with_its_reason(record: MakeRecord) -> None:
    server = Server(alone=[record(0, outcome=Outcome.HTTP_ERROR, detail="503: no weights")])
    with pytest.raises(BadTarget, match="http_error 503: no weights"):
        find_pace(CHAT, 1, 4.0, 30.0, server.measure)


def test_objectives_leave_an_idle_server_room(record: MakeRecord) -> None:
    slow = find_pace(CHAT, 1, 1.0, 9.0, Server(alone=[record(0, first_s=1.0, end_s=1.8)]).measure)
    assert slow.objectives(0.9).model_dump(exclude_none=True) == {
        "ttft_ms": 5000.0,
        "tpot_ms": 1000.0,
        "attainment": 0.9,
    }
    quick = find_pace(CHAT, 1, 1.0, 9.0, Server(alone=[record(0, first_s=0.001, end_s=0.002)]).measure)
    assert (quick.objectives(0.9).ttft_ms, quick.objectives(0.9).tpot_ms) == (250.0, 50.0)


def test_what_does_not_stream_is_judged_by_its_end(record: MakeRecord) -> None:
    embedding = record(0, first_s=None, end_s=0.4, is_stream=False)
    objectives = find_pace(CHAT, 1, 1.0, 9.0, Server(alone=[embedding]).measure).objectives(0.95)
    assert objectives.model_dump(exclude_none=True) == {"e2e_ms": 2000.0, "attainment": 0.95}
