"""From leavings to the time until the slot was free, and what was made in it."""

from __future__ import annotations

import pytest

from benchmarks.overhead.slots import BAR_MS, Trial, as_text, summarise, tokens_within


def test_each_kind_of_leaving_is_judged_by_itself() -> None:
    trials = [Trial("ingress", "stream closed", 4.0)] * 99 + [Trial("ingress", "stream closed", 6.0)]
    trials += [Trial("agent", "deadline", BAR_MS + 1.0)] * 10
    summary = summarise(trials, [3.0, 2.0, 4.0])
    closed, deadline = summary["kinds"]["ingress, stream closed"], summary["kinds"]["agent, deadline"]
    assert (closed["num"], closed["free_p50_ms"], closed["free_max_ms"]) == (100, 4.0, 6.0)
    assert closed["is_met"]
    assert not deadline["is_met"]
    assert summary["probe_alone_p50_ms"] == 3.0
    text = as_text(summary)
    assert "NOT met" in text
    assert "<= 1 / 1" in text


@pytest.mark.parametrize(
    ("free_ms", "tokens"), [(-0.5, 0), (0.0, 0), (0.1, 1), (5.0, 1), (5.1, 2), (102.0, 21)]
)
def test_a_begun_step_counts_as_a_token(free_ms: float, tokens: int) -> None:
    assert tokens_within(free_ms) == tokens
