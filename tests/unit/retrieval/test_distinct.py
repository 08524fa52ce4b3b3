from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serve_app.retrieval.base import Chunk, Fused
from serve_app.retrieval.distinct import apart

LONG = " ".join(f"word{at}" for at in range(100))


def ranking(*texts: str, headings: tuple[str, ...] = ()) -> list[Fused]:
    return [
        Fused(
            Chunk(str(at), "t", f"d{at}", "s", "p", "T", headings, text, 0, None, "text/plain", "", np.zeros(2), "m"),
            1.0 / (at + 1), None, None,
        )
        for at, text in enumerate(texts)
    ]  # fmt: skip


def ids(found: list[Fused]) -> list[str]:
    return [one.chunk.id for one in found]


def test_the_better_of_two_that_say_the_same_stays() -> None:
    found = ranking(LONG, LONG.upper(), LONG + " end.", "Another text.", LONG)
    assert ids(apart(found, 9, 0.9)) == ["0", "3"]
    assert ids(apart(found, 9, None)) == ["0", "1", "2", "3", "4"]
    assert ids(apart(found, 1, 0.9)) == ["0"]


def test_what_differs_enough_stays() -> None:
    half = " ".join(LONG.split()[:50])
    assert ids(apart(ranking(LONG, half, half + " and then something of its own"), 9, 0.9)) == ["0", "1", "2"]


def test_the_same_answer_under_another_question_stays() -> None:
    found = [*ranking("Yes.", headings=("May I swim?",)), *ranking("Yes.", headings=("May I dive?",))]
    assert len(apart(found, 9, 0.9)) == 2


def test_scripts_without_blanks_are_compared_by_characters() -> None:
    text = "深度学习是机器学习的一个分支、它试图使用包含复杂结构的多个处理层对数据进行高层抽象" * 3
    assert ids(apart(ranking(text, text + "的", "完全不同的一段文字、说的是海洋里的鱼和水" * 4), 9, 0.9)) == [
        "0",
        "2",
    ]


@given(st.lists(st.sampled_from([LONG, "a b c", "", "é", "x " * 30]), max_size=8), st.integers(1, 8))
def test_the_order_stays_and_nothing_comes_twice(texts: list[str], num: int) -> None:
    found = ids(apart(ranking(*texts), num, 0.9))
    assert found == sorted(found, key=int)
    assert len(found) <= num
    assert len({texts[int(one)] for one in found}) == len(found)
    assert len(found) == min(num, len(set(texts)))
