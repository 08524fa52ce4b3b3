"""The set of pairs, and the figures made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.semantic_cache.choose import Scored, choose, cross_validated, rates
from benchmarks.semantic_cache.families import read_pairs
from benchmarks.semantic_cache.run import summarise
from serve_app.answer_cache.questions import ask_differently


@pytest.fixture
def families(repository: Path) -> Path:
    return repository / "tests" / "data" / "semantic_cache" / "families.txt"


def test_the_set_is_large_enough_and_says_the_same_of_no_pair_twice(families: Path) -> None:
    pairs = read_pairs(families)
    assert len(pairs) >= 300
    assert len({(pair.kept, pair.asked) for pair in pairs}) == len(pairs)
    assert all(pair.kept != pair.asked for pair in pairs)
    assert sum(pair.is_same for pair in pairs) == 3 * (pairs[-1].family + 1)


def test_the_words_tell_most_near_misses_and_few_paraphrases_apart(families: Path) -> None:
    """Without any embedder; the benchmark says what both together do."""
    pairs = read_pairs(families)
    told = [ask_differently(pair.kept, pair.asked) for pair in pairs if not pair.is_same]
    lost = [ask_differently(pair.kept, pair.asked) for pair in pairs if pair.is_same]
    assert sum(told) / len(told) > 0.9
    assert sum(lost) / len(lost) < 0.5


def test_the_held_out_set_has_families_of_its_own(families: Path) -> None:
    known = {pair.kept for pair in read_pairs(families)}
    held_out = read_pairs(families.with_name("held_out.txt"))
    assert len(held_out) >= 100
    assert not known & {pair.kept for pair in held_out}


def test_a_line_of_another_shape_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("a | b | c | d | e\n# comment\na | b | c | d\n")
    with pytest.raises(BenchmarkError, match="family 2"):
        read_pairs(path)


def pairs_of(same: list[float | None], near: list[float | None]) -> list[Scored]:
    """One family for each place in the lists."""
    yes = [Scored(at, is_same=True, score=score) for at, score in enumerate(same)]
    return yes + [Scored(at, is_same=False, score=score) for at, score in enumerate(near)]


def test_rates_count_what_is_at_or_above_the_threshold() -> None:
    found = rates(pairs_of([0.9, 0.8, None, 0.7], [0.8, None]), 0.8)
    assert (found.hits, found.false_hits) == (0.5, 0.5)


def test_the_lowest_threshold_from_which_on_false_hits_are_few_is_chosen() -> None:
    near: list[float | None] = [0.6] * 1 + [None] * 199
    assert choose(pairs_of([0.9], near)) == 0.61
    assert choose(pairs_of([0.9], near), 0.01) == 0.5  # one of 200 is few enough
    near = [0.6, 0.7, 0.82] + [None] * 97
    assert choose(pairs_of([0.9], near), 0.01) == 0.71


def test_a_fold_is_judged_by_a_threshold_that_has_not_seen_it() -> None:
    near: list[float | None] = [0.9] * 2 + [0.55] * 62
    chosen, held_out = cross_validated(pairs_of([0.95] * 64, near), num_folds=8)
    assert max(chosen) == 0.91
    assert held_out.hits == 1.0
    assert held_out.false_hits <= 2 / 64


def test_the_summary_compares_with_the_bare_cosine() -> None:
    records = [
        {"family": at, "is_same": same, "score": score, "cosine": cosine}
        for at in range(16)
        for same, score, cosine in ((True, 0.9, 0.9), (False, None, 0.95))
    ]
    summary = summarise(records)
    assert summary["is_met"]
    assert summary["chosen"] == {"cache": 0.5, "cosine_alone": 0.96}
    assert summary["cross_validated"]["hits"] == 1.0
