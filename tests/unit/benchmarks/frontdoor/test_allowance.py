"""What limits and shares allow, from records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.frontdoor import bars
from benchmarks.frontdoor.allowance import Bucket, admitted, held_s, shares
from benchmarks.frontdoor.replicas import audited
from benchmarks.frontdoor.text import as_text
from benchmarks.records import Outcome, Record

REQUESTS = Bucket("requests", per_min=60.0, burst=10.0)


def record(at_s: float, outcome: Outcome = Outcome.OK, **fields: Any) -> Record:
    at_ns = round(at_s * 1e9)
    return Record(0, "chat", 0, outcome, at_ns, at_ns + 1_000_000, **fields)


def arrivals(num_passed: int, num: int = 1001, seconds: float = 100.0) -> list[Record]:
    """Evenly spaced; the first ones pass."""
    step = seconds / (num - 1)
    return [record(n * step, Outcome.OK if n < num_passed else Outcome.REFUSED) for n in range(num)]


def test_a_bucket_lets_its_burst_through_and_then_its_rate() -> None:
    row = admitted(REQUESTS, arrivals(110))
    assert (row["allowed"], row["taken"], row["off"]) == (110.0, 110, 0.0)
    assert (row["num_passed"], row["num_refused"], row["num_failed"]) == (110, 891, 0)


@pytest.mark.parametrize(("num", "is_met"), [(112, True), (108, True), (113, False), (107, False)])
def test_too_much_is_as_bad_as_too_little(num: int, *, is_met: bool) -> None:
    (verdict,) = bars.admitted([admitted(REQUESTS, arrivals(num))])
    assert verdict["is_met"] is is_met


def test_time_is_counted_from_the_first_arrival() -> None:
    late = [record(one.intended_ns / 1e9 + 50, one.outcome) for one in arrivals(110)]
    assert admitted(REQUESTS, late)["off"] == 0.0


def test_tokens_are_those_that_were_used() -> None:
    bucket = Bucket("tokens", per_min=60.0, burst=10.0)
    records = [
        record(0.0, num_prompt_tokens=30, num_output_tokens=10),
        record(1.0, num_prompt_tokens=30, num_output_tokens=30),
        record(90.0, Outcome.REFUSED),
        record(100.0, Outcome.TIMEOUT),
    ]
    row = admitted(bucket, records)
    assert (row["taken"], row["allowed"], row["num_failed"]) == (100, 110.0, 1)


def stream(first_s: float, last_s: float) -> Record:
    return record(0.0, is_stream=True, first_token_ns=round(first_s * 1e9), last_token_ns=round(last_s * 1e9))


@pytest.mark.parametrize(
    ("first_s", "last_s", "held"),
    [(12.0, 13.0, 1.1), (10.0, 11.0, 1.0), (19.5, 21.0, 0.6), (5.0, 6.0, 0.0), (5.0, 30.0, 10.0)],
)
def test_a_slot_is_held_from_before_the_first_token_to_the_last(
    first_s: float, last_s: float, held: float
) -> None:
    assert held_s(stream(first_s, last_s), 100.0, 10.0, 20.0) == pytest.approx(held)


def test_who_never_had_a_token_never_had_a_slot() -> None:
    assert held_s(record(12.0, Outcome.REFUSED), 100.0, 10.0, 20.0) == 0.0


def test_a_share_is_compared_with_its_weight() -> None:
    rows = {row["tenant"]: row for row in shares({"a": 24.0, "b": 51.0, "c": 25.0}, {"a": 1, "b": 2, "c": 1})}
    assert rows["a"]["due"] == 0.25
    assert rows["a"]["off"] == -0.04
    assert rows["b"]["off"] == 0.02
    (verdict,) = bars.shares(rows.values())
    assert (verdict["value"], verdict["is_met"]) == (-0.04, True)


def test_the_worst_tenant_counts() -> None:
    (verdict,) = bars.shares(shares({"a": 20.0, "b": 30.0}, {"a": 1, "b": 1}))
    assert not verdict["is_met"]
    assert abs(verdict["value"]) == 0.2
    assert bars.shares([]) == []


def test_an_engine_that_served_nobody_gave_nobody_a_share() -> None:
    assert [row["share"] for row in shares({"a": 0.0, "b": 0.0}, {"a": 1, "b": 1})] == [0.0, 0.0]


def test_the_audit_log_tells_which_replica_decided_and_who_decided_alone(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    lines = [{"flags": ["local_limits"]}, {"flags": None}, {}]
    (folder / "ingress-0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "ingress-0.1.jsonl").write_text("{}\n")
    (folder / "ingress-1.jsonl").write_text("{}\n")
    (folder / "admin.jsonl").write_text("{}\n")
    assert audited(tmp_path) == {
        "requests_by_replica": {"ingress-0": 4, "ingress-1": 1},
        "num_decided_without_redis": 1,
    }
    assert audited(tmp_path / "nowhere")["requests_by_replica"] == {}


def test_the_tables_show_limits_and_shares() -> None:
    row = shares({"a": 50.0, "b": 50.0}, {"a": 1, "b": 1})[0]
    row |= {"num_offered": 9, "num_passed": 5, "num_refused": 4, "engine_used": 0.98}
    limits = [admitted(REQUESTS, arrivals(113))]
    told = {"requests_by_replica": {"ingress-0": 7}, "num_decided_without_redis": 0}
    text = as_text({"limits": limits, "shares": [row], "replicas": told, "verdicts": bars.admitted(limits)})
    assert "113 / 110.0" in text
    assert "+2.73%" in text
    assert "98.0%" in text
    assert "ingress-0 7" in text
    assert "NOT met" in text
