from __future__ import annotations

import numpy as np

from benchmarks.schedule.streams import stream


def test_a_stream_is_its_seed_and_its_name() -> None:
    assert np.array_equal(stream(7, "arrivals").random(100), stream(7, "arrivals").random(100))


def test_streams_of_other_names_and_seeds_are_unrelated() -> None:
    streams = [stream(seed, name).random(10_000) for seed in (1, 2) for name in ("arrivals", "mix", "turns")]
    correlations = np.corrcoef(streams)[np.triu_indices(len(streams), 1)]
    assert np.max(np.abs(correlations)) < 0.05


def test_a_seed_may_be_of_any_size() -> None:
    assert stream(2**200, "arrivals").random() != stream(2**200 + 1, "arrivals").random()
