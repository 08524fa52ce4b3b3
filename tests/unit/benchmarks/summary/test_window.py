"""Which part of a run its figures are of."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.records import Outcome, Record
from benchmarks.summary.window import measured_window
from configs.workload import Workload

S = 10**9


def answers(
    duration_s: float, rate_rps: float = 10.0, slow_s: float = 0.0, e2e_s: float = 0.5
) -> list[Record]:
    """Steady arrivals; those of the first `slow_s` seconds wait ten times as long for their first token."""
    records = []
    for index in range(round(duration_s * rate_rps)):
        at_s = index / rate_rps
        first_s = at_s + (1.0 if at_s < slow_s else 0.1)
        records.append(
            Record(
                index=index,
                entry="chat",
                worker=0,
                outcome=Outcome.OK,
                intended_ns=round(at_s * S),
                sent_ns=round(at_s * S),
                first_token_ns=round(first_s * S),
                end_ns=round((at_s + e2e_s) * S),
                is_stream=True,
            )
        )
    return records


def workload(**fields: Any) -> Workload:
    return Workload.model_validate(fields)


def test_auto_cuts_the_warm_up() -> None:
    window = measured_window(answers(60.0, slow_s=5.0), workload(), 60.0)
    assert window.start_s == pytest.approx(5.0)
    assert window.end_s == 60.0
    assert window.is_settled


def test_a_fixed_warm_up_is_taken_at_its_word() -> None:
    window = measured_window(answers(60.0, slow_s=5.0), workload(warm_up_s=12), 60.0)
    assert (window.start_s, window.end_s, window.is_settled) == (12.0, 60.0, None)


def test_a_run_that_was_stopped_in_its_warm_up_keeps_its_figures() -> None:
    window = measured_window(answers(8.0), workload(warm_up_s=12), 8.0)
    assert window.start_s == 0.0
    assert window.is_settled is False
    assert "within its warm-up" in window.reason


@pytest.mark.parametrize(
    "arrivals",
    [
        {"process": "ramp", "from_rps": 1, "to_rps": 10},
        {"process": "step", "rates_rps": [1, 10]},
        {"process": "trace", "path": "some.jsonl"},
    ],
    ids=lambda arrivals: str(arrivals["process"]),
)
def test_arrivals_that_change_have_no_steady_state(arrivals: dict[str, Any]) -> None:
    window = measured_window(answers(60.0, slow_s=5.0), workload(arrivals=arrivals), 60.0)
    assert window.start_s == 0.0
    assert arrivals["process"] in window.reason


def test_a_stopped_run_steps_back_from_what_the_stop_caught() -> None:
    records = answers(30.0, e2e_s=2.0)
    for record in records:
        if record.end_ns > 30 * S:
            record.outcome, record.end_ns = Outcome.INTERRUPTED, 30 * S
    window = measured_window(records, workload(), 30.0)
    assert window.end_s == pytest.approx(28.0)
    inside = [record for record in records if record.intended_ns < window.end_s * S]
    assert all(record.outcome is Outcome.OK for record in inside)


def test_a_request_that_hung_until_the_stop_does_not_shrink_the_window() -> None:
    records = answers(30.0)
    records[50].outcome, records[50].end_ns = Outcome.INTERRUPTED, 30 * S
    assert measured_window(records, workload(), 30.0).end_s == pytest.approx(29.5)


def test_nothing_was_answered_before_the_stop() -> None:
    records = answers(5.0)
    for record in records:
        record.outcome, record.first_token_ns = Outcome.INTERRUPTED, None
    assert measured_window(records, workload(), 5.0).end_s == 5.0
    assert measured_window([], workload(), 5.0).end_s == 5.0
