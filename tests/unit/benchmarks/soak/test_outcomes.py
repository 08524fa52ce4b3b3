"""How requests of the mix should end."""

from __future__ import annotations

from benchmarks.records import Outcome, Record
from benchmarks.soak.mix import EXPECTED_FAILURES, platform, requests, workload
from benchmarks.soak.outcomes import count_outcomes
from configs.load import parse_platform
from configs.workload import PoissonArrivals


def record(entry: str, outcome: Outcome, status: int | None = 200) -> Record:
    return Record(
        index=0, entry=entry, worker=0, outcome=outcome, intended_ns=0, end_ns=1, status=status, detail="why"
    )


def test_a_refusal_is_right_only_where_it_was_asked_for() -> None:
    counted = count_outcomes(
        [
            record("chat", Outcome.OK),
            record("chat-left", Outcome.ABANDONED),
            record("unknown-model", Outcome.HTTP_ERROR, 404),
            record("unknown-model", Outcome.HTTP_ERROR, 500),
            record("bad-field", Outcome.OK),
            record("chat", Outcome.TRUNCATED),
        ]
    )
    assert counted["num_unexpected"] == 3
    assert counted["outcomes"]["unknown-model"] == {"http_error": 2}
    assert "unknown-model: http_error 500: why" in counted["unexpected"]


def test_the_mix_is_a_workload_for_the_application_that_is_started() -> None:
    asked = workload(PoissonArrivals(process="poisson", rate_rps=5), 60.0, 1)
    configured = parse_platform(platform())
    served = {model.name for model in configured.models} | {configured.embedder.name}
    named = {getattr(request, "model", None) for request in asked.requests} - {None}
    assert named - served == {"nobody"}
    assert EXPECTED_FAILURES.keys() <= {request.label for request in requests()}
