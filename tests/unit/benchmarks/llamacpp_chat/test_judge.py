from __future__ import annotations

from typing import Any

import pytest

from benchmarks.llamacpp_chat.judge import summarise
from benchmarks.llamacpp_chat.text import as_text


def record(subject: str, repetition: int, tokens_per_s: float, **changes: Any) -> dict[str, Any]:
    case = {
        "name": "16x128/128",
        "num_callers": 16,
        "prompt_tokens": 128,
        "output_tokens": 128,
        "num_requests": 48,
        "shared_tokens": 0,
    }
    case |= changes.pop("case", {})
    return {
        "subject": subject,
        "case": case,
        "repetition": repetition,
        "tokens_per_s": tokens_per_s,
        "num_output_tokens": 6144,
        "num_failed": 0,
        "ttft_ms": {"p50": 1000.0, "p95": 2000.0},
        "itl_ms": {"p50": 50.0, "p95": 80.0},
        "e2e_ms": {"p50": 7000.0, "p95": 8000.0},
        "read_ratio": None,
        "cpu_s": {"python": 12.0, "x": 0.288},
        "reasons": [],
    } | changes


def verdicts(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {verdict["bar"]: verdict for verdict in summarise(records)["verdicts"]}


def test_ratios_are_taken_within_a_repetition() -> None:
    """The machine was twice as fast in the second one; the ratio of medians would be 1.5."""
    rates = [("engine", [100, 200, 300]), ("llama-server", [100, 200, 200])]
    records = [record(name, at, rate) for name, each in rates for at, rate in enumerate(each)]
    verdict = verdicts(records)["tokens_per_s at least 1 of llama-server's"]
    assert verdict["each"] == [1.0, 1.0, 1.5]
    assert (verdict["value"], verdict["is_met"], verdict["num_met"]) == (1.0, True, 3)


def test_a_repetition_that_only_one_has_is_left_out() -> None:
    records = [record("engine", at, 100) for at in range(3)] + [record("locked", 1, 50)]
    verdict = verdicts(records)["tokens_per_s at least 1.8 of locked's"]
    assert verdict["each"] == [2.0]


def test_the_sooner_first_token_must_be_much_sooner() -> None:
    records = [record("llama-server", 0, 100), record("manta", 0, 100, ttft_ms={"p50": 701.0, "p95": 2000.0})]
    found = verdicts(records)
    assert not found["ttft_p50_ms at most 0.7 of llama-server's"]["is_met"]
    assert found["ttft_p95_ms at most 1 of llama-server's"]["is_met"]
    assert found["itl_p95_ms at most 1 of llama-server's"]["is_met"]


def test_peers_are_not_judged_and_an_absent_one_has_no_verdict() -> None:
    assert summarise([record("llama-server", 0, 100), record("locked", 0, 50)])["verdicts"] == []
    assert summarise([record("engine", 0, 100)])["verdicts"] == []


def test_the_locks_bar_is_for_short_prompts() -> None:
    case = {"name": "16x1024/128", "prompt_tokens": 1024}
    records = [record("engine", 0, 100, case=case), record("locked", 0, 90, case=case)]
    assert verdicts(records) == {}


@pytest.mark.parametrize(("read_ratio", "is_met"), [(1.0, True), (1.5, False)])
def test_the_shared_part_is_computed_once(read_ratio: float, is_met: bool) -> None:
    case = {"name": "16x1024+128/128", "prompt_tokens": 1152, "shared_tokens": 1024}
    found = verdicts([record("engine", 0, 100, case=case, read_ratio=read_ratio)])
    assert found["read_ratio at most 1.01"]["is_met"] is is_met


def test_figures_are_medians_with_the_cpu_time_of_a_token() -> None:
    records = [record("engine", at, rate) for at, rate in enumerate([100, 300, 200])]
    (figures,) = summarise(records)["figures"]
    assert figures["median"]["tokens_per_s"] == 200
    assert figures["median"]["read_ratio"] is None
    assert figures["cpu_ms_per_token"] == pytest.approx(2.0)


def test_servers_stand_in_one_order_whoever_was_first() -> None:
    first, second = {"name": "1x128/128", "num_callers": 1}, {}
    records = [record(name, 0, 100, case=case) for case in (first, second) for name in ("locked", "engine")]
    found = [(one["case"]["num_callers"], one["subject"]) for one in summarise(records)["figures"]]
    assert found == [(1, "engine"), (1, "locked"), (16, "engine"), (16, "locked")]


def test_the_table_has_a_line_for_each_server_and_each_bar() -> None:
    records = [record(name, at, 100) for name in ("engine", "llama-server") for at in range(2)]
    summary = summarise(records) | {"did_not_run": {"locked": "it is not there"}}
    text = as_text(summary)
    (line,) = (line for line in text.splitlines() if "| engine " in line and "7.00 / 8.00" in line)
    assert "100.0 (100.0..100.0)" in line
    assert "1.000 (1.000..1.000)" in line
    assert "NOT met" in text  # ttft is no sooner
    assert "- locked: did not run: it is not there" in text
