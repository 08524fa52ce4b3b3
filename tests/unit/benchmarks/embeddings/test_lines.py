from __future__ import annotations

import threading
from collections.abc import Sequence

from benchmarks.embeddings.workers.lines import Texts, run_in_threads


def test_texts_go_round_and_are_counted() -> None:
    texts = Texts(["a", "b", "c"], [1, 2, 3])
    assert texts.take(2) == (["a", "b"], 3)
    assert texts.take(2) == (["c", "a"], 4)


def test_a_library_is_called_by_one_caller_at_a_time() -> None:
    inside: list[int] = []
    sizes: list[int] = []
    is_alone = threading.Lock()

    def embed(texts: Sequence[str]) -> None:
        assert is_alone.acquire(blocking=False)
        sizes.append(len(texts))
        inside.append(threading.get_ident())
        is_alone.release()

    run = {"num_callers": 4, "list_size": 3, "seconds": 0.05}
    found = run_in_threads(embed, Texts(["a", "b"], [5, 7]), run)
    assert set(sizes) == {3}
    assert found["num_texts"] == 3 * len(sizes)
    assert found["num_tokens"] > 0
