from __future__ import annotations

import numpy as np

from serve_app.engines.llamacpp.kept import KeptText, KeptTexts, Tokens, common_prefix


def tokens(*ids: int) -> Tokens:
    return np.asarray(ids, dtype=np.int32)


def text(*ids: int, num_bytes: int = 10) -> KeptText:
    return KeptText(tokens(*ids), np.zeros(num_bytes, dtype=np.uint8))


def test_a_prefix_in_common_is_counted_from_the_beginning() -> None:
    assert common_prefix(tokens(1, 2, 3), tokens(1, 2, 4, 3)) == 2
    assert common_prefix(tokens(1, 2), tokens(1, 2, 4)) == 2
    assert common_prefix(tokens(), tokens(1)) == 0


def test_the_longest_common_beginning_is_found() -> None:
    kept = KeptTexts(100)
    short, long = text(1, 2, 9), text(1, 2, 3, 9)
    kept.put(short)
    kept.put(long)
    assert kept.best_prefix(tokens(1, 2, 3, 4)) == (long, 3)
    assert kept.best_prefix(tokens(7)) == (None, 0)


def test_what_was_not_used_for_longest_goes_first() -> None:
    kept = KeptTexts(25)
    first, second, third = text(1), text(2), text(3)
    kept.put(first)
    kept.put(second)
    kept.touch(first)
    kept.put(third)
    assert kept.best_prefix(tokens(2)) == (None, 0)
    assert kept.best_prefix(tokens(1)) == (first, 1)
    assert kept.num_bytes == 20


def test_a_text_takes_the_place_of_its_own_beginning() -> None:
    kept = KeptTexts(100)
    kept.put(text(1, 2))
    longer = text(1, 2, 3)
    kept.put(longer)
    assert len(kept) == 1
    assert kept.best_prefix(tokens(1, 2)) == (longer, 2)


def test_what_is_larger_than_all_that_may_be_kept_is_not_kept_and_pushes_nothing_out() -> None:
    kept = KeptTexts(15)
    kept.put(text(1))
    kept.put(text(2, num_bytes=20))
    assert kept.best_prefix(tokens(1))[1] == 1
    assert len(kept) == 1


def test_bytes_above_the_bound_and_bytes_counted_wrongly_are_told() -> None:
    kept = KeptTexts(25)
    kept.put(text(1))
    kept.put(text(2))
    assert kept.num_excess_bytes == 0
    kept.num_bytes -= 3
    assert kept.num_excess_bytes == 3
    kept.num_bytes += 3
    kept._max_bytes = 15
    assert kept.num_excess_bytes == 5
