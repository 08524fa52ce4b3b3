from __future__ import annotations

from serve_app.engines.llamacpp.sampling import seed_of


def test_seeds_of_any_size_become_32_bits_and_never_llamacpps_word_for_random() -> None:
    assert seed_of(7) == 7
    assert seed_of(2**32 + 7) == 7
    assert seed_of(-1) == 0
    assert seed_of(0xFFFFFFFF) == 0


def test_no_seed_is_another_one_each_time() -> None:
    assert len({seed_of(None) for _ in range(8)}) > 1
