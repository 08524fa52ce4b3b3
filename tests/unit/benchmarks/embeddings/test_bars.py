from __future__ import annotations

from typing import Any

from benchmarks.embeddings.bars import summarise
from benchmarks.embeddings.text import as_text


def record(side: str, case: str, repetition: int, rate: float, kind: str = "short") -> dict[str, Any]:
    return {"side": side, "kind": kind, "case": case, "repetition": repetition, "tokens_per_s": rate}


def verdicts(summary: dict[str, Any]) -> dict[str, tuple[float, bool]]:
    return {one["bar"]: (one["median"], one["is_met"]) for one in summary["verdicts"]}


def test_a_ratio_is_of_the_same_repetition_before_it_is_a_median() -> None:
    # The machine is half as fast in the second repetition: that is no difference between the sides.
    records = [
        record("manta-llamacpp", "32x1", 0, 300.0),
        record("llama-cpp-python one", "32x1", 0, 100.0),
        record("manta-llamacpp", "32x1", 1, 150.0),
        record("llama-cpp-python one", "32x1", 1, 50.0),
        record("manta-llamacpp", "32x1", 2, 280.0),
        record("llama-cpp-python one", "32x1", 2, 100.0),
    ]
    summary = summarise(records, {})
    ratio = summary["ratios"]["short 32x1 manta-llamacpp / llama-cpp-python one"]
    assert (ratio["median"], ratio["least"], ratio["most"]) == (3.0, 2.8, 3.0)
    bar = "short: manta-llamacpp at 32x1 at least 2x llama-cpp-python one"
    assert verdicts(summary)[bar] == (3.0, True)


def test_only_peers_that_keep_the_quality_count_as_the_best() -> None:
    records = [
        record("manta-auto", "1x64", 0, 100.0),
        record("onnxruntime", "1x64", 0, 90.0),
        record("llama-server", "1x64", 0, 200.0),
        record("manta-onnx", "1x64", 0, 300.0),
    ]
    bar = "short: manta-auto at 1x64 at least 1x best that keeps the quality"
    good = summarise(records, {"onnxruntime": 1.0, "llama-server": 0.99})
    assert verdicts(good)[bar] == (1.1111, True)
    unknown = summarise(records, {"onnxruntime": 1.0, "llama-server": 0.99999})
    assert verdicts(unknown)[bar] == (0.5, False)
    assert bar not in verdicts(summarise(records, {"onnxruntime": None}))


def test_a_bar_may_compare_two_cases() -> None:
    records = [record("manta-api", "32x64", 0, 80.0), record("manta-auto", "32x64", 0, 100.0)]
    assert verdicts(summarise(records, {}))["short: manta-api at 32x64 at least 0.85x manta-auto"] == (
        0.8,
        False,
    )


def test_what_did_not_run_has_no_figure_and_no_verdict() -> None:
    summary = summarise([record("manta-onnx", "1x1", 0, 10.0)], {"manta-onnx": 1.0})
    assert summary["verdicts"] == []
    text = as_text(summary | {"did_not_run": {"llama-server": "no --llama-server"}})
    assert "10 (10-10)" in text
    assert "llama-server: did not run: no --llama-server" in text
