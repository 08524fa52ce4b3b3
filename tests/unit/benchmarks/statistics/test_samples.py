from __future__ import annotations

import numpy as np
import pytest

from benchmarks.statistics.samples import known_median, sample_percentiles


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0, 4.0], np.array([4.0, 1.0, 3.0, 2.0])])
def test_percentiles_are_linear_between_neighbours(values: list[float]) -> None:
    assert sample_percentiles(values, (50, 95, 99.9)) == {"p50": 2.5, "p95": 3.85, "p99.9": 3.997}


@pytest.mark.parametrize("values", [[], np.array([])])
def test_without_values_there_is_no_figure(values: list[float]) -> None:
    assert sample_percentiles(values, (50, 99)) == {"p50": None, "p99": None}


def test_a_median_is_of_what_is_known() -> None:
    assert known_median([None, 3.0, 1.0, None, 2.00006]) == 2.0001
    assert known_median([0.0, None]) == 0.0
    assert known_median([None]) is None
    assert known_median([]) is None
