from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from serve_app.errors import ConfigError
from serve_app.evaluation.base import Metric, Score
from serve_app.evaluation.fixture_judge import FixtureJudge
from serve_app.evaluation.offline import Case, judge_all, read, summarise
from serve_app.evaluation.page import page

F, R = Metric.FAITHFULNESS, Metric.CONTEXT_RECALL
LINE: dict[str, Any] = {"question": "q", "answer": "a", "contexts": ["c"], "reference": "r"}


def file(folder: Path, *lines: Any) -> Path:
    path = folder / "cases.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def cases(folder: Path, num: int) -> list[Case]:
    return read(file(folder, *([LINE] * num)), [F])


async def judged(folder: Path, values: Sequence[float | None], **options: Any) -> Any:
    judge = FixtureJudge(
        *({} if value is None else {F: Score(value, unsupported=("<b>",))} for value in values)
    )
    return await judge_all(judge, cases(folder, len(values)), [F], num_parallel=1, timeout_s=5, **options)


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    found = read(file(tmp_path, LINE, "", {**LINE, "id": "x"}), [F, R])
    assert [case.id for case in found] == ["1", "x"]
    assert (found[0].sample.contexts, found[0].sample.reference) == (("c",), "r")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("nonsense", "1: no JSON"),
        ("[]", "1: no JSON object"),
        ({**LINE, "answer": None}, "needs answer"),
        ({**LINE, "contexts": "c"}, "needs contexts"),
        ({**LINE, "contexts": [1]}, "needs contexts"),
        ({**LINE, "reference": 3}, "reference is no text"),
        ({**LINE, "reference": None}, "needs a reference for context_recall"),
        ("", "no cases"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        read(file(tmp_path, line), [R])


async def test_means_are_of_what_is_known_and_the_unknown_is_counted(tmp_path: Path) -> None:
    seen: list[int] = []
    found = await judged(tmp_path, [1.0, 0.5, None], advance=lambda: seen.append(1))
    summary = summarise(found, "j", "builtin", {F: 0.7}, max_unknown=0.5)
    assert len(seen) == 3
    assert summary["metrics"]["faithfulness"] == {
        "num_known": 2,
        "share_unknown": 0.3333,
        "mean": 0.75,
        "min": 0.5,
        "threshold": 0.7,
        "is_met": True,
    }
    assert summary["passed"]


@pytest.mark.parametrize(
    ("values", "max_unknown"), [([1.0, 0.2], 0.5), ([1.0, None], 0.4), ([None, None], 1.0)]
)
async def test_a_low_mean_and_too_much_that_is_unknown_fail(
    tmp_path: Path, values: list[float | None], max_unknown: float
) -> None:
    summary = summarise(await judged(tmp_path, values), "j", "builtin", {F: 0.7}, max_unknown)
    assert not summary["passed"]
    assert ("mean" in summary["metrics"]["faithfulness"]) == (values != [None, None])


async def test_the_page_escapes_what_it_shows(tmp_path: Path) -> None:
    found = await judged(tmp_path, [0.2, None])
    text = page(summarise(found, "<judge>", "<ragas>", {F: 0.7}, 1.0), [one.record() for one in found])
    assert "<b>q</b>" in text
    assert "unsupported: &lt;b&gt;" in text
    assert "&lt;judge&gt;" in text
    assert "failed" in text
    assert "faithfulness unknown" in text
    assert "http" not in text
