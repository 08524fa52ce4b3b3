from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.records import Outcome
from benchmarks.simulate.arrivals import arrivals_of
from benchmarks.simulate.simulation import simulate
from configs.simulation import ServiceModel, Stack
from configs.workload import Workload


def workload(*requests: dict[str, Any], **changes: Any) -> Workload:
    document = {"duration_s": 10, "arrivals": {"process": "constant", "rate_rps": 2}, "requests": requests}
    return Workload.model_validate(document | changes)


def records(asked: Workload, service: ServiceModel) -> Any:
    stack = Stack(service=service, replica_start_s=1.0)
    return simulate(arrivals_of(asked), stack, seed=1, timeout_s=60.0).records


def test_it_is_the_plan_that_a_run_would_send() -> None:
    made = arrivals_of(
        workload(
            {"kind": "chat", "prompt_tokens": 100, "output_tokens": 7, "weight": 3},
            {"kind": "completions", "prompt_tokens": 50, "output_tokens": 9},
        )
    )
    assert len(made) == 20
    assert np.diff(made.at_s) == pytest.approx(0.5)
    assert {made.label(index) for index in range(20)} == {"chat", "completions"}
    for index in range(20):
        lengths = (made.num_prompt_tokens[index], made.num_output_tokens[index])
        assert lengths == ((100, 7) if made.label(index) == "chat" else (50, 9))


def test_the_turns_of_a_session_follow_each_other(service: ServiceModel) -> None:
    done = records(
        workload({"kind": "chat", "turns": 3, "think_time_s": 2.0, "output_tokens": 5}, duration_s=1), service
    )
    first, second, third = done[0], done[2], done[3]  # of two sessions
    assert len(done) == 6
    assert second.intended_ns == pytest.approx(first.end_ns + 2e9, abs=2)
    assert third.intended_ns == pytest.approx(second.end_ns + 2e9, abs=2)
    assert third.num_prompt_tokens > second.num_prompt_tokens > first.num_prompt_tokens


def test_a_closed_loop_keeps_as_many_in_flight_as_it_has_users(service: ServiceModel) -> None:
    done = records(
        workload({"kind": "chat", "output_tokens": 20}, arrivals={"process": "closed", "concurrency": 3}),
        service,
    )
    assert all(record.outcome is Outcome.OK for record in done)
    assert max(record.intended_ns for record in done) < 10e9
    changes = sorted([(r.intended_ns, 1) for r in done] + [(r.end_ns, -1) for r in done])
    in_flight = np.cumsum([change for _, change in changes])
    assert in_flight.max() == 3
    assert len(done) > 60


def test_abandoning_users_leave(service: ServiceModel) -> None:
    asked = workload(
        {"kind": "chat", "output_tokens": 500, "abandon": {"fraction": 1.0, "after_s": 0.2}},
    )
    assert {record.outcome for record in records(asked, service)} == {Outcome.ABANDONED}


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        ({"kind": "embeddings"}, "embeddings: only chat"),
        ({"kind": "chat", "texts": "questions.txt"}, "no length before"),
        ({"kind": "chat", "stream": False}, "only streams"),
    ],
)
def test_what_has_no_model_is_refused(request_: dict[str, Any], fault: str) -> None:
    with pytest.raises(BenchmarkError, match=fault):
        arrivals_of(workload(request_))
