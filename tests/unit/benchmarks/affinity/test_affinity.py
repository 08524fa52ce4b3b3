"""What is asked of both sides, and what their figures come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.affinity.cases import CASES, CONTEXT_TOKENS, Case, workload_of
from benchmarks.affinity.judge import as_text, summarise
from benchmarks.affinity.run import platform
from benchmarks.application import write_profile
from configs.load import read_profile
from configs.schema import LlamaCppModel


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_fits_the_context_and_is_a_fixed_piece_of_work(case: Case) -> None:
    longest = case.beginning_tokens + case.num_turns * (case.own_tokens + case.output_tokens)
    assert longest < 0.75 * CONTEXT_TOKENS  # room for what the template adds
    asked = workload_of(case, 1)
    assert asked.arrivals.model_dump()["max_sessions"] == case.num_sessions
    assert case.num_sessions % case.num_beginnings == 0


def test_the_sides_differ_in_their_affinity_alone(tmp_path: Path) -> None:
    models = []
    for affinity in ("none", "prefix"):
        profile = write_profile(tmp_path / affinity, platform(Path("model.gguf"), affinity, 2))
        (model,) = read_profile(profile).platform.models
        assert isinstance(model, LlamaCppModel)
        assert model.scaling.min_replicas == model.scaling.max_replicas == 2
        models.append(model)
    plain, affine = models
    assert affine.affinity == "prefix"
    assert plain == affine.model_copy(update={"affinity": "none"})


def job(affinity: str, repetition: int, tokens_per_s: float, ttft_ms: float | None, **fields: Any) -> Any:
    ttft = {"p50": ttft_ms, "p95": ttft_ms}
    figures = {"output_tokens_per_s": tokens_per_s, "ttft_ms": ttft, "e2e_ms": ttft, "cached_share": 0.5}
    head = {"case": {"name": "documents"}, "affinity": affinity, "repetition": repetition}
    return head | figures | {"num_failed": 0, "reasons": ()} | fields


def test_ratios_are_taken_within_each_repetition() -> None:
    found = summarise(
        [
            job("none", 0, 10.0, 100.0),
            job("prefix", 0, 20.0, 50.0),
            job("prefix", 1, 40.0, None),
            job("none", 1, 40.0, 1000.0),
            job("prefix", 2, 7.0, 1.0),  # whose other side was not reached
        ]
    )
    plain, affine = found["rows"]
    assert plain["ratios"] == {}
    assert affine["ratios"]["output_tokens_per_s"] == {"median": 1.5, "each": [2.0, 1.0]}
    assert affine["ratios"]["ttft_p50"] == {"median": 0.5, "each": [0.5]}
    assert (affine["num_jobs"], affine["output_tokens_per_s"]) == (3, 20.0)


def test_what_there_is_to_doubt_stands_below_the_table() -> None:
    sound = as_text(summarise([job("none", 0, 10.0, 100.0)]))
    assert len(sound.splitlines()) == 3
    doubtful = as_text(summarise([job("none", 0, 10.0, 100.0, num_failed=2, reasons=("late",))]))
    assert "2 requests had no answer" in doubtful
    assert "1 jobs where" in doubtful
