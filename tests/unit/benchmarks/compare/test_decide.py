from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.compare.decide import Judged, Levels, Verdict, holm, judge
from benchmarks.compare.figures import FIGURES
from benchmarks.compare.paired import PairedDifferences

NOISE = (0.010, -0.012, 0.007, -0.004, 0.013, -0.009, 0.003, -0.006, 0.011, -0.008, 0.005, -0.002)


def shifted(by: float) -> PairedDifferences:
    return PairedDifferences(tuple(by + value for value in NOISE))


def judged(levels: Levels | None = None, **evidence: PairedDifferences) -> dict[str, Judged]:
    found = judge(FIGURES, evidence, "ttft_p50", levels or Levels(), np.random.default_rng(1))
    return {one.figure.name: one for one in found}


def test_holm_is_strictest_with_the_smallest_and_never_turns_round() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert adjusted == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_slower_is_worse_and_more_throughput_is_better() -> None:
    found = judged(ttft_p50=shifted(0.05), completed_rate=shifted(0.05), e2e_p50=shifted(-0.05))
    assert found["ttft_p50"].verdict is Verdict.WORSE
    assert found["completed_rate"].verdict is Verdict.BETTER
    assert found["e2e_p50"].verdict is Verdict.BETTER
    assert found["itl_p50"].verdict is Verdict.NOT_MEASURED


def test_differences_are_told_in_parts_of_a() -> None:
    found = judged(ttft_p50=shifted(math.log(1.5)))["ttft_p50"]
    assert found.difference == pytest.approx(0.5, abs=0.01)
    assert found.interval is not None
    assert found.interval.low < 0.5 < found.interval.high


def test_no_difference_says_what_would_have_been_found() -> None:
    found = judged(ttft_p50=shifted(0.0))["ttft_p50"]
    assert found.verdict is Verdict.NOT_SHOWN
    assert found.detectable == pytest.approx(0.01, abs=0.006)


def test_only_a_margin_can_make_it_equivalent() -> None:
    calm = shifted(0.0)
    assert judged(Levels(margin=0.05), ttft_p50=calm)["ttft_p50"].verdict is Verdict.EQUIVALENT
    assert judged(Levels(margin=0.002), ttft_p50=calm)["ttft_p50"].verdict is Verdict.NOT_SHOWN


def test_a_sure_difference_within_the_margin_does_not_matter() -> None:
    found = judged(Levels(margin=0.1), ttft_p50=shifted(0.03))["ttft_p50"]
    assert found.p_value is not None
    assert found.p_value <= 0.01
    assert found.verdict is Verdict.EQUIVALENT


def test_errors_have_no_margin() -> None:
    found = judged(Levels(margin=0.1), ttft_p50=shifted(0.0), error_rate=shifted(0.03))["error_rate"]
    assert found.verdict is Verdict.WORSE
    assert found.difference == pytest.approx(0.03, abs=0.002)


def test_the_primary_figure_pays_nothing_for_the_others() -> None:
    # Eleven of twelve pairs up, the smallest down: p = 0.00098 is enough alone, and not among seven others.
    almost = PairedDifferences((-0.001, *(0.01 + 0.001 * i for i in range(11))))
    others = {figure.name: almost for figure in FIGURES if figure.name != "ttft_p50"}
    assert judged(ttft_p50=almost)["ttft_p50"].verdict is Verdict.WORSE
    found = judged(ttft_p50=almost, **{name: shifted(0.0) for name in others} | {"itl_p50": almost})
    assert found["ttft_p50"].verdict is Verdict.WORSE
    assert found["ttft_p50"].p_adjusted == pytest.approx(2 * 2 / 2**12)
    assert found["itl_p50"].p_adjusted == pytest.approx(7 * 2 * 2 / 2**12)


def test_the_chance_of_any_false_alarm_is_held() -> None:
    rng = np.random.default_rng(2)
    num_alarms = 0
    for _ in range(400):
        evidence = {figure.name: PairedDifferences(tuple(rng.normal(0, 1, 12))) for figure in FIGURES}
        p_values = {name: found.p_value() for name, found in evidence.items()}
        adjusted = holm({name: p for name, p in p_values.items() if name != "ttft_p50"})
        num_alarms += min(*adjusted.values(), p_values["ttft_p50"]) <= 0.01
    assert num_alarms / 400 <= 0.035  # 2 % and two standard errors
